// A disk that is not restored, seen by real clients: its bytes, its files, and how it ends.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  planFor,
  truthOf,
  uploadBucket,
} from '../helpers/backup.ts';
import { command, mustRun } from '../helpers/command.ts';
import { startPeer } from '../helpers/peer.ts';
import { markEnvironment, survivorsOf } from '../helpers/processes.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { type CliResult, startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BACKUP = 'backup-003';
const DISK = 'rootdisk';

interface Serving {
  readonly uri: string;
  /** Sends the signal and gives what the program ended with. */
  end(signal?: NodeJS.Signals): Promise<CliResult>;
}

interface ServeInTest {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts `serve` and waits for the URI, which is its first line on stdout. */
async function serve(t: Test, plan: string, { args = [], env = {} }: ServeInTest = {}): Promise<Serving> {
  const runtime = join(tempFolder(t), 'run');
  const mark = markEnvironment();
  const { child, result } = startCli(['serve', plan, ...args], { env: { XDG_RUNTIME_DIR: runtime, ...mark, ...env } });
  t.teardown(() => child.kill('SIGKILL'));
  if (child.stdout === null) throw new TypeError('stdout is no pipe');
  const uri = await firstLine(child.stdout, result);
  return {
    uri,
    end: async (signal = 'SIGINT') => {
      child.kill(signal);
      const ended = await result;
      t.strictSame(await survivorsOf(mark), [], 'nothing is left running');
      t.notOk(existsSync(runtime), 'nor lying');
      return ended;
    },
  };
}

async function firstLine(stdout: NodeJS.ReadableStream, result: Promise<CliResult>): Promise<string> {
  const lines = createInterface({ input: stdout });
  const line = new Promise<string>((resolve) => lines.once('line', resolve));
  const ended = result.then(({ stderr }): never => {
    throw new Error(`serve ended before it was ready: ${stderr}`);
  });
  // Either settles first; what comes later is nobody's loss.
  ended.catch(() => {});
  return await Promise.race([line, ended]);
}

async function madeFileSystem(t: Test): Promise<BackupForTest> {
  return await madeBackup(t, { disks: [{ name: DISK, size: 64 * MiB, fileSystem: true }], checkpoints: 3 });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A file of some size in the disk's file system, as debugfs lists and prints it. */
async function largestFile(disk: string): Promise<{ readonly name: string; readonly sha256: string }> {
  const listing = await mustRun('debugfs', ['-R', 'ls -p /', disk]);
  const files = [...listing.matchAll(/^\/\d+\/100\d+\/\d+\/\d+\/([^/]+)\/(\d+)\/$/gm)].map((match) => ({
    name: match[1] ?? '',
    size: Number(match[2]),
  }));
  const [largest] = files.toSorted((a, b) => b.size - a.size);
  if (largest === undefined) throw new Error(`no file in ${listing}`);
  return { name: largest.name, sha256: sha256(await fileIn(disk, largest.name)) };
}

async function fileIn(disk: string, name: string): Promise<Uint8Array> {
  const folder = `${disk}.out`;
  mkdirSync(folder, { recursive: true });
  await mustRun('debugfs', ['-R', `dump /${name} ${folder}/${name}`, disk]);
  return readFileSync(`${folder}/${name}`);
}

test('a served disk is the true disk, for several clients at a time and one after another', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'nbdcopy', 'nbdinfo', 'debugfs', 'qemu-nbd')) return;
  const made = await madeFileSystem(t);
  const plan = await planFor(made, BACKUP, { [DISK]: '/dev/no-such-target' });
  const socket = join(made.folder, 'disk.sock');
  const { uri, end } = await serve(t, plan, { args: ['--pvc', DISK, '--socket', socket] });
  t.ok(existsSync(socket), 'the socket is there');
  t.equal(uri, `nbd+unix:///?socket=${socket}`);
  const info = JSON.parse(await mustRun('nbdinfo', ['--json', uri]));
  t.match(info, { exports: [{ 'export-name': '', 'export-size': 64 * MiB, is_read_only: true }] });
  const copies = ['a.raw', 'b.raw', 'c.raw'].map((name) => join(made.folder, name));
  await Promise.all(copies.map((copy) => mustRun('nbdcopy', [uri, copy])));
  for (const copy of copies) t.equal(await difference(copy, truthOf(made, BACKUP, DISK)), undefined, 'identical');
  const truth = await largestFile(truthOf(made, BACKUP, DISK));
  t.equal(sha256(await fileIn(copies[0] ?? '', truth.name)), truth.sha256, `${truth.name} is the true file`);
  t.not((await command('qemu-io', ['-f', 'raw', '-c', 'write 0 512', uri])).status, 0, 'it cannot be written to');
  const { exitCode, stderr } = await end('SIGINT');
  t.equal(exitCode, 0);
  t.match(stderr, /serving rootdisk \(64\.0 MiB, 3 layers\) read-only/);
  t.notOk(existsSync(socket), 'the socket is gone');
});

test('a file is read from a mounted disk', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'nbdfuse', 'debugfs', 'root', '/dev/fuse', 'losetup')) return;
  const made = await madeFileSystem(t);
  const plan = await planFor(made, BACKUP, { [DISK]: '/dev/no-such-target' });
  const { uri, end } = await serve(t, plan, { args: ['--socket', join(made.folder, 'disk.sock')] });
  const [shown, files] = [join(made.folder, 'shown'), join(made.folder, 'files')];
  writeFileSync(shown, '');
  mkdirSync(files);
  const pidFile = join(made.folder, 'pid');
  const fuse = command('nbdfuse', ['--pidfile', pidFile, '--readonly', shown, uri]);
  await mustRun('bash', ['-c', `until [ -s ${pidFile} ]; do sleep 0.05; done`]);
  try {
    await mustRun('mount', ['-o', 'ro,loop,noload', shown, files]);
    const truth = await largestFile(truthOf(made, BACKUP, DISK));
    t.equal(sha256(readFileSync(join(files, truth.name))), truth.sha256, `${truth.name} is the true file`);
    await mustRun('umount', [files]);
  } finally {
    await command('umount', [shown]);
    await fuse;
  }
  t.equal((await end('SIGTERM')).exitCode, 0);
});

test('over TCP, from a bucket whose server misbehaves', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, 'nbdcopy')) return;
  const rgw = await startRgw(t);
  const made = await madeBackup(t, {
    like: 'other',
    disks: [{ name: DISK, size: 32 * MiB, initial: { bytes: 24 * MiB }, clusterSize: 4096 }],
    checkpoints: 3,
  });
  const bucket = await uploadBucket(rgw, made);
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
  const plan = await planFor(made, BACKUP, { [DISK]: '/dev/no-such-target' }, { s3 });
  const { uri, end } = await serve(t, plan, { args: ['--port', '10947', '--window', '16Mi'], env: rgw.env });
  t.equal(uri, 'nbd://127.0.0.1:10947');
  peer.plan = ({ nth, random }) => (nth === 1 && random() < 0.3 ? { kind: 'reset', after: 9000 } : undefined);
  const copy = join(made.folder, 'copy.raw');
  await mustRun('nbdcopy', [uri, copy]);
  t.equal(await difference(copy, truthOf(made, BACKUP, DISK)), undefined, 'the reader did not notice');

  peer.plan = () => ({ kind: 'status', status: 404, code: 'NoSuchKey' });
  const lost = join(made.folder, 'lost.raw');
  const failed = await command('nbdcopy', [uri, lost]);
  peer.plan = () => undefined;
  const again = await command('nbdcopy', [uri, lost]);
  t.equal(again.status, 0, 'what failed once is asked for again');
  t.equal(await difference(lost, truthOf(made, BACKUP, DISK)), undefined);
  const { exitCode, stderr } = await end();
  t.equal(exitCode, 0);
  if (failed.status !== 0) t.match(stderr, /I\/O error returned to client: .*rootdisk\.qcow2/);
});

test('a source that refuses a layer before anything is served ends it with its own error', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const made = await madeBackup(t, { disks: [{ name: DISK, size: 4 * MiB }], checkpoints: 3 });
  const bucket = await uploadBucket(rgw, made);
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
  const plan = await planFor(made, BACKUP, { [DISK]: '/dev/no-such-target' }, { s3 });
  // The header is read from 0 on; tables lie behind it.
  peer.plan = ({ range }) =>
    range !== undefined && range.first > 0 ? { kind: 'status', status: 403, code: 'AccessDenied' } : undefined;
  const socket = join(made.folder, 'disk.sock');
  const { exitCode, stdout } = await sharedCli(['serve', plan, '--output', 'json', '--socket', socket], {
    env: rgw.env,
  });
  t.equal(exitCode, 3);
  t.match(JSON.parse(stdout), { result: 'failed', error: { code: 'ACCESS_DENIED', message: /rootdisk/ } });
  t.notOk(existsSync(socket));
});

test('calls that cannot be served', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'qemu-nbd')) return;
  const shape = { size: 4 * MiB };
  const made = await madeBackup(t, {
    disks: [
      { name: DISK, ...shape },
      { name: 'data', ...shape },
    ],
    checkpoints: 3,
  });
  const plan = await planFor(made, BACKUP, { [DISK]: '/dev/one', data: '/dev/two' });
  const socket = join(made.folder, 'taken');
  writeFileSync(socket, 'somebody else has this');
  const cases: readonly (readonly [args: readonly string[], code: string, hint: RegExp])[] = [
    [['--pvc', DISK], 'USAGE', /--socket/],
    [['--pvc', DISK, '--socket', '/tmp/a', '--port', '1'], 'USAGE', /one of them/],
    [['--socket', '/tmp/a'], 'USAGE', /--pvc rootdisk/],
    [['--pvc', 'rootdisc', '--socket', '/tmp/a'], 'USAGE', /--pvc rootdisk/],
    [['--pvc', DISK, '--socket', socket], 'LISTEN_FAILED', /taken/],
    [['--pvc', DISK, '--socket', `/tmp/${'x'.repeat(110)}`], 'LISTEN_FAILED', /--socket/],
  ];
  const schema = z.object({ result: z.literal('failed'), error: z.object({ code: z.string(), hint: z.string() }) });
  for (const [args, code, hint] of cases) {
    const env = { XDG_RUNTIME_DIR: join(made.folder, 'run') };
    const { exitCode, stdout } = await sharedCli(['serve', plan, '--output', 'json', ...args], { env });
    const { error } = schema.parse(JSON.parse(stdout));
    t.equal(exitCode, 2, args.join(' '));
    t.equal(error.code, code);
    t.match(error.hint, hint);
  }
  t.equal(readFileSync(socket, 'utf8'), 'somebody else has this', 'what was there is left alone');
  t.notOk(readdirSync(made.folder).includes('run'), 'nothing is left in the runtime folder');
});
