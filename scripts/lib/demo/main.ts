// scripts/demo: the embedded backup, restored with the real program and proven, in words that a newcomer follows.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../../../src/errors.ts';
import { runTool } from '../run-tool.ts';
import { BACKUP, DISKS, describeBucket } from './bucket.ts';
import { proveIdentical } from './proof.ts';
import { restorePlan } from './restore.ts';
import { type Targets, withTargets } from './targets.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUCKET = join(ROOT, 'fixtures/bucket');

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(new Error(name)));
// Whoever read our words is gone (`scripts/demo | head`): as good as an interrupt.
process.stdout.on('error', () => stop.abort(new Error('output closed')));

try {
  await withWorkFolder(async (folder) => {
    await withTargets(folder, (targets) => demonstrate(folder, targets, stop.signal));
  });
} catch (error) {
  const words = stop.signal.aborted ? `stopped: ${messageOf(stop.signal.reason)}` : `failed: ${messageOf(error)}`;
  process.stderr.write(`\ndemo ${words}\n`);
  process.exitCode = stop.signal.aborted ? 130 : 1;
}

async function demonstrate(folder: string, targets: Targets, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  heading(1, 'What the bucket holds');
  say(await describeBucket(BUCKET));

  heading(2, 'The targets');
  say(targets.description);

  heading(3, 'The plan');
  const plan = planText(folder, targets);
  await writeFile(join(folder, 'plan.yaml'), plan);
  say(plan.trimEnd().replaceAll(/^/gm, '  '));

  heading(4, 'The restore: kubevirt-datamover restore plan.yaml --verify compare');
  await restorePlan(join(folder, 'plan.yaml'), { program: join(ROOT, 'bin/kubevirt-datamover'), say, signal });

  heading(5, 'The proof');
  for (const disk of DISKS) {
    say(await proveIdentical({ disk, target: targets.paths[disk], bucket: BUCKET, folder, signal }));
  }

  heading(6, 'A file from the disk');
  say(`debugfs -R 'cat /hello.txt' ${targets.paths.rootdisk}`);
  const { stdout } = await runTool('debugfs', ['-R', 'cat /hello.txt', targets.paths.rootdisk], { signal });
  say(`  ${stdout.trim()}`);
  if (!stdout.includes('checkpoint cp-004')) throw new Error('hello.txt is not that of the last checkpoint');

  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  process.stdout.write(
    `\nBoth disks are identical to the true ones, in ${seconds} s. The loop device and the directory are removed now.\n`,
  );
}

function planText(folder: string, { paths }: Targets): string {
  const pvcs = DISKS.map((disk) => `  - name: ${disk}\n    target: ${paths[disk]}\n`);
  return `version: 1
source:
  directory: ${BUCKET}
scratch: { path: ${folder}/scratch }
backup: ${BACKUP}
vm: demo/web
pvcs:
${pvcs.join('')}`;
}

async function withWorkFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kubevirt-datamover-demo-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function heading(number: number, title: string): void {
  stop.signal.throwIfAborted();
  process.stdout.write(`\n${number}. ${title}\n`);
}

function say(text: string): void {
  stop.signal.throwIfAborted();
  process.stdout.write(`${text.replaceAll(/^(?=.)/gm, '   ')}\n`);
}
