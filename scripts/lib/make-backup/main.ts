// scripts/make-backup: arguments and signals → a bucket folder, and one line that says what was made.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { messageOf } from '../../../src/errors.ts';
import { formatBytes } from '../../../src/units.ts';
import { runTool } from '../run-tool.ts';
import { type Call, HELP, parseCall } from './arguments.ts';
import { makeBackup } from './make.ts';
import type { MadeBackup } from './shape.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(`ended by ${name}`)));

try {
  const call = parseCall(process.argv.slice(2));
  if (call === undefined) process.stdout.write(HELP);
  else await run(call, stop.signal);
} catch (error) {
  const reason: unknown = stop.signal.aborted ? stop.signal.reason : error;
  process.stderr.write(`make-backup: ${messageOf(reason)}\n`);
  process.exitCode = stop.signal.aborted ? 130 : 1;
}

async function run({ bucket, truth, sums, shape }: Call, signal: AbortSignal): Promise<void> {
  const folder = truth ?? (await mkdtemp(join(tmpdir(), 'kdm-truth-')));
  try {
    const keep = truth === undefined && sums === undefined ? 'none' : 'all';
    const made = await makeBackup(shape, { bucket, truth: folder, keep, signal });
    if (sums !== undefined) await writeFile(sums, await sumsOf(made, folder, signal));
    process.stdout.write(`${summary(made)}\n`);
  } finally {
    if (truth === undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** What `sha256sum -c` takes, with the names that the true disks have under `--truth`. */
async function sumsOf(made: MadeBackup, folder: string, signal: AbortSignal): Promise<string> {
  const names = made.checkpoints.flatMap(({ layers }) => layers.map((layer) => relative(folder, layer.truth)));
  const { stdout } = await runTool('sha256sum', ['--', ...names], { signal, cwd: folder });
  return stdout;
}

function summary({ namespace, vm, directory, checkpoints }: MadeBackup): string {
  const layers = checkpoints.flatMap((checkpoint) => checkpoint.layers);
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  const of = `${checkpoints.length} backups of ${namespace}/${vm}`;
  return `${directory}: ${of}, ${layers.length} layers, ${formatBytes(bytes)}`;
}
