// A program of its own: logs far more than its stderr takes, and prints on stdout how much it kept and dropped.
import { writeSync } from 'node:fs';
import { LogStream } from '../../src/cli/session/output.ts';

const [lines = '0', patienceMs = '0'] = process.argv.slice(2);
const log = new LogStream(2, () => process.stderr);
let pending = 0;
for (let line = 0; line < Number(lines); line += 1) {
  log.write(`${'x'.repeat(999)}\n`);
  pending = Math.max(pending, log.writableLength);
  if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
}
await log.settle(Number(patienceMs));
writeSync(1, JSON.stringify({ pending, left: log.writableLength, taken: log.bytesTaken, lost: log.lost ?? null }));
process.exit(0);
