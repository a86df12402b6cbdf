// stdout that is full, closed, slow or not read at all: a result that was not written completely is a failure.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { t as root, test } from 'tap';
import { history, put, writeJson } from '../../helpers/catalog.ts';
import { FIXTURE_BUCKET, fixturePlan } from '../../helpers/fixture.ts';
import { requires } from '../../helpers/requires.ts';
import { cleanEnvironment, programPath, runCli } from '../../helpers/run-cli.ts';
import { inShell } from '../../helpers/shell.ts';
import { type Owner, tempFolder } from '../../helpers/tmp.ts';

const SOURCE = ['--source', FIXTURE_BUCKET];

/** A file system of the test's own. */
function mounted(t: Owner, args: readonly string[]): string {
  const folder = join(tempFolder(t), 'mnt');
  mkdirSync(folder);
  execFileSync('mount', [...args, folder]);
  t.teardown(() => execFileSync('umount', [folder]));
  return folder;
}

function isComplete(document: string): boolean {
  try {
    return JSON.parse(document).version === 1;
  } catch {
    // Cut short.
    return false;
  }
}

test('stdout on a full device: exit 9, OUTPUT_FAILED with errno and what was lost, whatever the command', async (t) => {
  const plan = fixturePlan(t);
  const s3Plan = join(plan.folder, 's3.yaml');
  writeFileSync(
    s3Plan,
    'version: 1\nsource: { s3: { bucket: b, region: r } }\nbackup: b\nvm: a/b\npvcs: [{ name: d, target: /dev/d, size: 1Gi, chain: [{ checkpoint: c, type: full, object: o, size: 1 }] }]\n',
  );
  const commands = [
    ['--version'],
    ['--help'],
    ['restore', '--help'],
    ['completion', 'bash'],
    ['list', ...SOURCE],
    ['list', ...SOURCE, '--output', 'json'],
    ['plan', ...SOURCE, '--vm', 'demo/web'],
    ['verify', plan.path],
    ['verify', plan.path, '--output', 'json'],
    ['manifest', s3Plan, '--image', 'i'],
    ['restore', plan.path, '--dry-run'],
    ['restore', plan.path, '--dry-run', '--output', 'json'],
  ];
  const ends = await Promise.all(commands.map((args) => inShell('"$@" >/dev/full', args)));
  for (const [index, { status, stderr }] of ends.entries()) {
    const name = commands[index]?.join(' ') ?? '';
    t.equal(status, 9, name);
    t.match(
      stderr,
      /^error OUTPUT_FAILED: stdout: writing the result failed: ENOSPC: .* \(0 of \d+ bytes written\)\nhint: .+\n$/m,
      name,
    );
    t.notMatch(stderr, /INTERNAL|\n +at /, name);
  }
});

test('a restore whose result is lost is complete, reports that, and exits with 9', async (t) => {
  for (const output of ['text', 'json']) {
    const plan = fixturePlan(t);
    const { status, stderr } = await inShell('"$@" >/dev/full', ['restore', plan.path, '--output', output]);
    t.equal(status, 9);
    t.match(stderr, /\nerror OUTPUT_FAILED: stdout: .*; 2 of 2 PVCs restored\nhint: .*complete/);
    t.strictSame(plan.targets(), { rootdisk: 'restored', datadisk: 'restored' });
  }
});

test('a failure stays what it was when its document cannot be written; both are reported', async (t) => {
  const { status, stderr } = await inShell('"$@" >/dev/full', ['restore', 'no.yaml', '--output', 'json']);
  t.equal(status, 2);
  t.match(stderr, /^2 problems:\nerror PLAN_INVALID: .*\nhint: .*\nerror OUTPUT_FAILED: /);
});

test('a file system that fills up in the middle of the result: the error has the bytes written', async (t) => {
  if (!requires(t, 'root', 'mount', 'umount')) return;
  const folder = mounted(t, ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs']);
  const { status, stderr } = await inShell('"$@" >"$OUT"', ['completion', 'bash'], {
    env: { OUT: join(folder, 'out') },
  });
  t.equal(status, 9);
  t.match(stderr, /^error OUTPUT_FAILED: stdout: .*ENOSPC.* \(4096 of \d{4,} bytes written\)\n/);
});

test('a write that succeeds and cannot be stored afterwards, as on NFS and thin volumes', async (t) => {
  if (!requires(t, 'root', 'mount', 'umount', 'mkfs.ext4')) return;
  // The file system thinks that it has room; the file under its device has none.
  const small = mounted(t, ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs']);
  const disk = join(small, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, 4 * 2 ** 20);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard', disk]);
  const folder = mounted(t, ['-o', 'loop', disk]);
  execFileSync('sync', ['-f', folder]);
  fill(small);
  const { status, stderr } = await inShell('"$@" >"$OUT"', ['plan', ...SOURCE, '--vm', 'demo/web'], {
    env: { OUT: join(folder, 'plan.yaml') },
  });
  t.equal(status, 9);
  t.match(stderr, /^error OUTPUT_FAILED: stdout: .*(EIO|ENOSPC)/m);
});

function fill(folder: string): void {
  try {
    writeFileSync(join(folder, 'ballast'), Buffer.alloc(2 ** 20, 1));
  } catch {
    // Full, as intended.
  }
}

test('a reader that left (| head): exit 9 without a message, and a restore is reported complete', async (t) => {
  const gone = 'set -o pipefail; "$@" | true';
  const list = await inShell(gone, ['list', ...SOURCE, '--log-level', 'error']);
  t.equal(list.status, 9);
  t.equal(list.stderr, '');
  const plan = fixturePlan(t, ['datadisk']);
  const { status, stderr } = await inShell(gone, ['restore', plan.path]);
  t.equal(status, 9);
  t.match(stderr, /\nerror OUTPUT_FAILED: .*EPIPE.*; 1 of 1 PVC restored\n/);
  t.strictSame(plan.targets(), { datadisk: 'restored' });
});

test('stdout that was closed is /dev/null, which Node opens: no file of the program becomes stdout', async (t) => {
  const plan = fixturePlan(t);
  const { status } = await inShell('"$@" >&- 2>&- <&-', ['restore', plan.path]);
  t.equal(status, 0);
  t.strictSame(plan.targets(), { rootdisk: 'restored', datadisk: 'restored' });
});

/** A folder whose list is far larger than the buffer of any pipe or socket; made once. Layers are a few bytes. */
async function makeLargeBucket(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'kdm-'));
  root.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const words = Array.from({ length: 50 }, (_, index) => `${index + 1}${index === 0 ? '!' : ''}root,data`).join(' ');
  for (let vm = 0; vm < 40; vm += 1) {
    const index = history(words, { vm: `vm-${vm}` });
    await writeJson(folder, `checkpoints/demo/vm-${vm}/index.json`, index);
    for (const { id, files } of index.checkpoints) {
      for (const file of files) {
        if (typeof file === 'object') await put(folder, file.objectPath, Buffer.alloc(10 + Number(id.slice(3))));
      }
    }
  }
  return folder;
}

const largeBucket = makeLargeBucket();

test('a slow reader gets all of a result that is larger than any buffer, through a pipe and a socket', async (t) => {
  const args = ['list', '--source', await largeBucket, '--output', 'json', '--log-level', 'error'];
  const complete = await inShell('"$@" >"$OUT"; cat "$OUT"', args, { env: { OUT: join(tempFolder(t), 'out') } });
  t.ok(complete.stdout.length > 400_000, `${complete.stdout.length} bytes`);
  t.ok(isComplete(complete.stdout));
  const piped = await inShell('"$@" | (sleep 1; cat)', args);
  t.equal(withoutTimes(piped.stdout), withoutTimes(complete.stdout));
  const socket = await runCli(args);
  t.equal(withoutTimes(socket.stdout), withoutTimes(complete.stdout));
});

function withoutTimes(text: string): string {
  return text.replace(/"seconds":[\d.]+/g, '');
}

test('a reader that never reads is waited for until a signal comes: exit 9', async (t) => {
  const args = ['list', '--source', await largeBucket, '--output', 'json', '--log-format', 'json'];
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args], {
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  for await (const piece of child.stderr.setEncoding('utf8')) {
    stderr += piece;
    if (stderr.includes('"event":"phase-finished"')) child.kill('SIGTERM');
  }
  t.match(
    stderr,
    /"code":"OUTPUT_FAILED","message":"stdout: writing the result failed: not done 2 s after the run was cancelled /,
  );
  if (child.exitCode === null) await once(child, 'exit');
  t.equal(child.exitCode, 9);
});

test('--report that cannot be written after the restore: exit 9 in the document too, and the disks are complete', async (t) => {
  if (!requires(t, 'root', 'mount', 'umount')) return;
  const folder = mounted(t, ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs']);
  fill(folder);
  const plan = fixturePlan(t);
  const report = join(folder, 'report.json');
  const { exitCode, stdout, stderr } = await runCli(['restore', plan.path, '--report', report, '--output', 'json']);
  t.equal(exitCode, 9);
  const problem = { code: 'OUTPUT_FAILED', message: /report\.json: writing the report failed: ENOSPC.*2 of 2 PVCs/ };
  t.match(JSON.parse(stdout), {
    result: 'failed',
    pvcs: [{ state: 'restored' }, { state: 'restored' }],
    error: problem,
    problems: [problem],
  });
  t.match(stderr, /\nerror OUTPUT_FAILED: .*report\.json: /);
  t.strictSame(plan.targets(), { rootdisk: 'restored', datadisk: 'restored' });
  t.strictSame(readdirSync(folder), ['ballast'], 'nothing is left beside it');
});
