// scripts/demo, whole: it ends well, and leaves nothing, also when it is stopped half-way.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TOOLS = ['qemu-img', 'losetup', 'debugfs', 'setpriv', 'sha256sum', 'cmp', 'git'] as const;

test('the demo restores both disks, proves them identical, and leaves nothing', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const { status, lines, folder } = await demo(t);
  t.equal(status, 0, lines.slice(-5).join('\n'));
  t.equal(lines.filter((line) => line.trim() === 'identical').length, 2);
  for (const phase of ['download', 'rebase', 'convert', 'verify']) {
    t.ok(
      lines.some((line) => line.trim().startsWith(phase)),
      `${phase} is named`,
    );
  }
  t.ok(
    lines.some((line) => line.includes('as it was at checkpoint cp-004')),
    'a file is shown',
  );
  nothingLeft(t, folder);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`the demo stopped by ${signal} in the restore leaves nothing`, async (t) => {
    if (!requires(t, ...TOOLS)) return;
    const { status, folder } = await demo(t, (line, kill) => {
      if (line.startsWith('4. The restore')) kill(signal);
    });
    t.equal(status, 130);
    nothingLeft(t, folder);
  });
}

test('the demo whose reader goes away leaves nothing', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const { folder } = await demo(t, (line, _kill, close) => {
    if (line.startsWith('3. The plan')) close();
  });
  nothingLeft(t, folder);
});

interface DemoRun {
  readonly status: number | null;
  readonly lines: readonly string[];
  /** Its temp folder. */
  readonly folder: string;
}

type OnLine = (line: string, kill: (signal: NodeJS.Signals) => void, close: () => void) => void;

/** Runs it with a temp folder of its own, which tells what it left and finds its loop device. */
async function demo(t: Test, onLine: OnLine = () => {}): Promise<DemoRun> {
  const folder = join(tempFolder(t), 'tmp');
  mkdirSync(folder);
  const before = gitStatus();
  const child = spawn(join(ROOT, 'scripts/demo'), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    onLine(
      line,
      (signal) => child.kill(signal),
      () => child.stdout.destroy(),
    );
  });
  const status = await ended;
  t.equal(gitStatus(), before, 'the tree is as clean as before');
  return { status, lines, folder };
}

function nothingLeft(t: Test, folder: string): void {
  t.strictSame(readdirSync(folder), [], 'no temp folder');
  const devices = execFileSync('losetup', ['--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' });
  t.notMatch(devices, folder, 'no loop device');
}

/** Of what the demo could touch: other tests may be at work elsewhere. */
function gitStatus(): string {
  return execFileSync('git', ['status', '--porcelain', '--', 'fixtures', 'package-lock.json'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
}
