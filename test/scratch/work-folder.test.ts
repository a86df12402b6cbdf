import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { inspectWorkFolder } from '../../src/scratch/inspect.ts';
import { findLeftovers } from '../../src/scratch/report.ts';
import { openWorkFolder, type WorkFolder } from '../../src/scratch/work-folder.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const LAYER = { disk: 'd', index: 0, object: 'o', size: 100, etag: '"1"' };

async function addPart(folder: WorkFolder): Promise<void> {
  await (await folder.journal.layer(LAYER)).addPart({ offset: 0, length: 10, crc: 1 });
}

test('a run leaves nothing, unless it holds a part and may go on', async (t) => {
  const root = join(tempFolder(t), 'scratch');
  const open = async () => await openWorkFolder({ root, planId: 'aa', fresh: false });
  const empty = await open();
  t.equal(statSync(empty.path).mode & 0o777, 0o700);
  await empty.close({ keep: true });
  t.notOk(existsSync(root), 'a scratch folder that the run made is gone too');

  mkdirSync(root, { mode: 0o755 });
  const failed = await open();
  await addPart(failed);
  await failed.close({ keep: false });
  t.strictSame(readdirSync(root), []);
  t.equal(statSync(root).mode & 0o777, 0o755, 'an existing folder keeps its mode');

  const interrupted = await open();
  await addPart(interrupted);
  await interrupted.close({ keep: true });
  const resumed = await open();
  t.ok(resumed.journal.hasProgress);
  await resumed.close({ keep: true });
  const fresh = await openWorkFolder({ root, planId: 'aa', fresh: true });
  t.notOk(fresh.journal.hasProgress);
  await fresh.close({ keep: true });
  t.strictSame(readdirSync(root), []);
});

test('two runs of one plan exclude each other, two plans do not', async (t) => {
  const root = tempFolder(t);
  const first = await openWorkFolder({ root, planId: 'aa', fresh: false });
  await t.rejects(openWorkFolder({ root, planId: 'aa', fresh: false }), { code: 'SCRATCH_BUSY' });
  const other = await openWorkFolder({ root, planId: 'bb', fresh: false });
  await other.close({ keep: false });
  await first.close({ keep: false });
  const second = await openWorkFolder({ root, planId: 'aa', fresh: false });
  await second.close({ keep: false });
});

test('a run that was killed leaves no lock behind', async (t) => {
  const root = tempFolder(t);
  const module = fileURLToPath(new URL('../../src/scratch/work-folder.ts', import.meta.url));
  const script = `
    const { openWorkFolder } = await import(${JSON.stringify(module)});
    await openWorkFolder({ root: ${JSON.stringify(root)}, planId: 'aa', fresh: false });
    console.log('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  await t.rejects(openWorkFolder({ root, planId: 'aa', fresh: false }), { code: 'SCRATCH_BUSY' });
  child.kill('SIGKILL');
  await once(child, 'close');
  for (;;) {
    // The kernel closes the dead run's pipe when it gets to it; the lock's holder ends right after.
    const taken = await openWorkFolder({ root, planId: 'aa', fresh: false }).catch((error: unknown) => error);
    if (taken instanceof Error) continue;
    await (taken as WorkFolder).close({ keep: false });
    break;
  }
  t.strictSame(readdirSync(root), []);
});

test('links and strangers are refused', async (t) => {
  const root = tempFolder(t);
  const elsewhere = join(root, 'elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'precious'), 'x');
  symlinkSync(elsewhere, join(root, 'kubevirt-datamover-aa'));
  await t.rejects(openWorkFolder({ root, planId: 'aa', fresh: true }), { code: 'SCRATCH_UNUSABLE' });
  t.strictSame(readdirSync(elsewhere), ['precious']);
  writeFileSync(join(root, 'file'), '');
  await t.rejects(openWorkFolder({ root: join(root, 'file'), planId: 'aa', fresh: false }), {
    code: 'SCRATCH_UNUSABLE',
  });
});

test('leftovers of other plans are found with their size', async (t) => {
  const root = tempFolder(t);
  mkdirSync(join(root, 'kubevirt-datamover-bb', '0'), { recursive: true });
  writeFileSync(join(root, 'kubevirt-datamover-bb', '0', '00.qcow2'), Buffer.alloc(64 * 1024, 1));
  mkdirSync(join(root, 'unrelated'));
  const found = await findLeftovers(root, 'aa');
  t.equal(found.length, 1);
  t.equal(found[0]?.bytes, 64 * 1024);
  t.strictSame(await findLeftovers(root, 'bb'), []);
});

test('a directory in use by another plan is not a leftover', async (t) => {
  const root = tempFolder(t);
  const other = await openWorkFolder({ root, planId: 'bb', fresh: false });
  await addPart(other);
  t.strictSame(await findLeftovers(root, 'aa'), []);
  const looks = Array.from({ length: 20 }, () => findLeftovers(root, 'bb').then(() => findLeftovers(root, 'aa')));
  await other.close({ keep: true });
  const again = await openWorkFolder({ root, planId: 'bb', fresh: false });
  await Promise.all(looks);
  await again.close({ keep: true });
  t.match(await findLeftovers(root, 'aa'), [{ path: other.path }]);
  t.strictSame(readdirSync(other.path).sort(), ['journal', 'lock'], 'looking changes nothing');
});

test('what cannot be used is left as it was', async (t) => {
  const options = (root: string) => ({ root, planId: 'aa', fresh: false });
  await t.test('flock is missing', async (t) => {
    const root = join(tempFolder(t), 'scratch');
    const { PATH } = process.env;
    process.env.PATH = '/nowhere';
    try {
      const missing = { code: 'TOOL_MISSING', message: /flock/, hint: /util-linux/ };
      await t.rejects(openWorkFolder(options(root)), missing);
      await t.rejects(inspectWorkFolder(options(root)), missing, 'a dry run finds it too');
    } finally {
      process.env.PATH = PATH;
    }
    t.notOk(existsSync(root), 'neither folder nor lock is left');
  });
  await t.test('no room for the journal', async (t) => {
    if (!requires(t, 'root', 'mount', 'umount')) return;
    const root = tempFolder(t);
    // Its root, the folder and the lock.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=3', 'kdm-test', root]);
    try {
      await t.rejects(openWorkFolder(options(root)), {
        code: 'SCRATCH_FULL',
        message: /journal|kubevirt-datamover-aa/,
      });
      t.strictSame(readdirSync(root), []);
    } finally {
      execFileSync('umount', [root]);
    }
  });
  await t.test('busy', async (t) => {
    const root = tempFolder(t);
    const first = await openWorkFolder(options(root));
    await t.rejects(openWorkFolder(options(root)), { code: 'SCRATCH_BUSY' });
    await t.rejects(inspectWorkFolder(options(root)), { code: 'SCRATCH_BUSY' });
    t.ok(existsSync(join(first.path, 'lock')), 'the other run’s folder stays');
    await first.close({ keep: false });
  });
});

test('a folder that others may have had a hand in is refused', async (t) => {
  if (!requires(t, 'root')) return;
  const root = tempFolder(t);
  const path = join(root, 'kubevirt-datamover-aa');
  const open = async () => await openWorkFolder({ root, planId: 'aa', fresh: false });
  const ours = process.getegid?.() ?? 0;
  for (const [uid, gid, mode, refused] of [
    [4711, ours, 0o700, /belongs to user 4711, expected user 0/],
    [0, ours, 0o777, /writable by all users/],
    [0, 4711, 0o770, /group 4711/],
    [0, ours, 0o2770, undefined],
    [0, 4711, 0o2750, undefined],
  ] as const) {
    mkdirSync(path);
    chownSync(path, uid, gid);
    chmodSync(path, mode);
    if (refused === undefined) await (await open()).close({ keep: false });
    else {
      await t.rejects(open(), { code: 'SCRATCH_UNUSABLE', message: refused, hint: /--scratch/ });
      t.strictSame(readdirSync(path), [], 'nothing is put into it');
      execFileSync('rmdir', [path]);
    }
    t.notOk(existsSync(path), `${uid}:${gid} ${mode.toString(8)}`);
  }
  mkdirSync(path, { mode: 0o700 });
  writeFileSync(join(root, 'precious'), '');
  chmodSync(join(root, 'precious'), 0o644);
  symlinkSync(join(root, 'precious'), join(path, 'lock'));
  await t.rejects(open(), { code: 'SCRATCH_UNUSABLE' }, 'nor is a link in the place of the lock followed');
});

test('root whose files get another owner knows its own folder again', async (t) => {
  if (!requires(t, 'root')) return;
  const root = join(tempFolder(t), 'scratch');
  mkdirSync(root);
  chownSync(root, 4711, 4711);
  execFileSync('chmod', ['a+x', join(root, '..')]);
  const module = fileURLToPath(new URL('../../src/scratch/work-folder.ts', import.meta.url));
  // As on an export that squashes root: we are user 0, what we make belongs to somebody else.
  const script = `
    const { openWorkFolder } = await import(${JSON.stringify(module)});
    process.seteuid(4711);
    const open = () => openWorkFolder({ root: ${JSON.stringify(root)}, planId: 'aa', fresh: false });
    const first = await open();
    const layer = await first.journal.layer(${JSON.stringify(LAYER)});
    await layer.addPart({ offset: 0, length: 10, crc: 1 });
    await first.diskFolder(0);
    await first.close({ keep: true });
    const second = await open();
    console.log(process.getuid(), second.journal.hasProgress);
    await second.close({ keep: true });`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.equal(stdout.trim(), '0 true', stderr);
  t.equal(statSync(join(root, 'kubevirt-datamover-aa')).uid, 4711);
  t.strictSame(readdirSync(join(root, 'kubevirt-datamover-aa')).sort(), ['0', 'journal', 'lock'], 'no probe is left');
});
