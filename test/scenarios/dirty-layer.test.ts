// A layer whose writer was killed: its dirty bit is set and its refcounts were never written. Repaired in our own copy, it is
// restored; cut short, it is refused, and no repair hides that.
import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Test, test } from 'tap';
import { stringify } from 'yaml';
import { KiB, MiB } from '../../src/units.ts';
import { difference } from '../helpers/backup.ts';
import { qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';

const TOOLS = ['qemu-img', 'qemu-io', 'cmp'];
const WRITES = ['write -q -P 65 0 1M', 'write -q -P 66 4M 64k'].flatMap((command) => ['-c', command]);

interface DirtyBackup {
  readonly plan: string;
  readonly layer: string;
  readonly target: string;
  readonly truth: string;
}

/** A full of 22 clusters of 64 KiB, each of them in use. */
function dirtyBackup(t: Test): DirtyBackup {
  const folder = tempFolder(t);
  const object = 'checkpoints/demo/web/cp-001/vmb-001-rootdisk.qcow2';
  const [layer, truth] = [join(folder, 'bucket', object), join(folder, 'truth.raw')];
  const [target, plan] = [join(folder, 'disk.raw'), join(folder, 'plan.yaml')];
  mkdirSync(dirname(layer), { recursive: true });
  qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on,cluster_size=65536', layer, `${16 * MiB}`);
  const writer = spawnSync('qemu-io', ['-f', 'qcow2', ...WRITES, '-c', 'flush', '-c', 'abort', layer]);
  t.equal(writer.signal, 'SIGABRT', 'it had no time to close the layer');
  writeFileSync(truth, '');
  truncateSync(truth, 16 * MiB);
  qemu('qemu-io', '-f', 'raw', ...WRITES, truth);
  const chain = [{ checkpoint: 'cp-001', type: 'full', object }];
  const document = { version: 1, source: { directory: 'bucket' }, scratch: { path: join(folder, 'scratch') } };
  writeFileSync(plan, stringify({ ...document, pvcs: [{ name: 'rootdisk', target, chain }] }));
  return { plan, layer, target, truth };
}

for (const strategy of ['staged', 'staged-raw', 'stream']) {
  test(`${strategy} restores it`, async (t) => {
    if (!requires(t, ...TOOLS)) return;
    const { plan, target, truth } = dirtyBackup(t);
    const { exitCode, document } = await runRestore(plan, ['--strategy', strategy]);
    t.equal(exitCode, 0, document.error?.message ?? 'ends well');
    t.equal(await difference(target, truth), undefined);
    t.match(document.pvcs[0]?.warnings, [/dirty bit/], 'and says so');
  });
}

for (const bytes of [512, 32 * KiB, 64 * KiB]) {
  test(`one that lacks its last ${bytes} bytes is refused`, async (t) => {
    if (!requires(t, ...TOOLS)) return;
    const { plan, layer } = dirtyBackup(t);
    truncateSync(layer, statSync(layer).size - bytes);
    const { exitCode, document } = await runRestore(plan);
    t.equal(exitCode, 4);
    t.match(document.error, { code: 'IMAGE_CORRUPT', message: /: truncated image: / });
  });
}
