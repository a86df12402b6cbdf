// The documents keep what they promise: their shell blocks run as printed, with the output shown below them, and every
// error code has a row with its fix.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { ERROR_CODES } from '../src/errors.ts';
import { MiB } from '../src/units.ts';
import { loopDevice } from './helpers/loop-device.ts';
import { requires } from './helpers/requires.ts';
import { RGW_TOOLS, startRgw } from './helpers/rgw.ts';
import { cleanEnvironment, programPath } from './helpers/run-cli.ts';
import { tempFolder } from './helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const DOCUMENTS = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

interface Block {
  readonly text: string;
  /** The exit status that it ends with. */
  readonly status: number;
  /** The output that the document shows below it, if it shows one. */
  readonly output?: string | undefined;
}

/** Every block that is fenced as ```sh run or ```sh exits STATUS, or as ```sh run s3: those need the S3 server. */
function runnableBlocks(document: string, kind: 'run' | 'run s3'): Block[] {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```sh (run|run s3|exits (\d+))\n(.*?)^```$(?:\n\n```\n(.*?)^```$)?/gms)]
    .filter(([, fence = '']) => (fence.startsWith('exits') ? 'run' : fence) === kind)
    .map(([, , status = '0', block = '', output]) => ({ text: block, status: Number(status), output }));
}

/** Lines of output without what differs from run to run: ages, times, the widths of columns, and the directories of paths. */
function comparable(output: string): string[] {
  return output.split('\n').map((line) =>
    line
      .replace(/[\d.]+ (s|d)\b/g, 'N $1')
      .replace(/\/[\w/.-]+\//g, '/')
      .replace(/ +/g, ' ')
      .trim(),
  );
}

/** Runs blocks one after the other in a folder of their own, with the program on PATH. */
function runBlocks(t: Test, blocks: readonly Block[], env: NodeJS.ProcessEnv = {}): void {
  const folder = tempFolder(t);
  cpSync(join(ROOT, 'fixtures/bucket'), join(folder, 'bucket'), { recursive: true });
  mkdirSync(join(folder, 'bin'));
  const launcher = join(folder, 'bin/kubevirt-datamover');
  writeFileSync(launcher, `#!/bin/sh\nexec "${process.execPath}" "${programPath()}" "$@"\n`, { mode: 0o755 });
  const path = `${join(folder, 'bin')}:${process.env.PATH}:/usr/sbin:/sbin`;
  for (const { text, status, output } of blocks) {
    const run = spawnSync('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...cleanEnvironment(), ...env, PATH: path },
    });
    t.equal(run.status, status, `${text}\n${run.stdout}${run.stderr}`);
    const all = status === 0 ? run.stdout : `${run.stdout}${run.stderr}`;
    const printed = new Set(comparable(all.replaceAll(env.TARGET ?? '\0', '/dev/vg/rootdisk')));
    for (const line of comparable(output ?? '')) t.ok(line === '…' || printed.has(line), `${line}\n${all}`);
  }
}

test('shell blocks run as printed', async (t) => {
  if (!requires(t, 'bash', 'qemu-img', 'qemu-io', 'nbdcopy', 'debugfs')) return;
  for (const document of DOCUMENTS) {
    const blocks = runnableBlocks(document, 'run');
    if (blocks.length > 0) await t.test(document, async (t) => runBlocks(t, blocks));
  }
});

test('the way from a bucket to a disk runs as printed', async (t) => {
  if (!requires(t, 'bash', 'qemu-img', 'debugfs', 'blkid', 'root', 'losetup', ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, join(ROOT, 'fixtures/bucket'), 'velero-kubevirt-datamover/');
  const device = loopDevice(t, { size: 64 * MiB });
  const blocks = runnableBlocks('docs/recovery.md', 'run s3');
  t.ok(blocks.length > 4);
  runBlocks(t, blocks, {
    ...rgw.env,
    ENDPOINT: rgw.endpoint,
    SOURCE: `s3://${bucket}/velero-kubevirt-datamover`,
    TARGET: device.path,
  });
});

test('every error code has a row with its fix', async (t) => {
  const text = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  for (const code of ERROR_CODES) {
    t.match(text, `| \`${code}\` |`, code);
    const rows = text.split('\n').filter((line) => line.startsWith(`| \`${code}\` |`));
    t.equal(rows.length, 1, `${code} has one row`);
    const [, , cause = '', fix = '', end] = (rows[0] ?? '').split(/(?<!\\)\|/).map((cell) => cell.trim());
    t.match(cause, /\w{2,} \w{2,}/, `${code}: a cause in words`);
    t.match(fix, /\w{2,}/, `${code}: a fix in words`);
    t.equal(end, '', `${code}: three cells`);
  }
});
