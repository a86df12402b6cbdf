import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { findLeftovers, openWorkFolder, type WorkFolder } from '../../src/restore/work-folder.ts';
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
  t.ok(resumed.journal.worthKeeping);
  await resumed.close({ keep: true });
  const fresh = await openWorkFolder({ root, planId: 'aa', fresh: true });
  t.notOk(fresh.journal.worthKeeping);
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
  const module = fileURLToPath(new URL('../../src/restore/work-folder.ts', import.meta.url));
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
