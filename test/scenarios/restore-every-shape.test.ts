// Every shape of chain that a backup can have, restored through every strategy onto devices and files.
import { cpSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { stringify } from 'yaml';
import type { BackupShape, DiskShape } from '../../scripts/lib/make-backup/shape.ts';
import { alignUp, KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type LayerDocument, madeBackup, truthOf, writtenChain } from '../helpers/backup.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { holdsDisk, restoreAndVerify, runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';

const STRATEGIES = ['staged', 'staged-raw', 'stream'];

const disk = (shape: Partial<DiskShape> = {}): DiskShape => ({ name: 'rootdisk', size: 8 * MiB, ...shape });

const SHAPES: Record<string, BackupShape> = {
  'one layer': { disks: [disk()], checkpoints: 1 },
  'two layers': { disks: [disk()], checkpoints: 2 },
  'five layers, an empty one among them': { disks: [disk({ at: { 3: 'nothing' } })], checkpoints: 5 },
  'an empty tip': { disks: [disk({ at: { 3: 'nothing' } })], checkpoints: 3 },
  'a disk that grew twice': { disks: [disk({ resize: { 2: 16 * MiB, 4: 40 * MiB } })], checkpoints: 4 },
  'discards and zeros': {
    disks: [disk({ changes: { bytes: MiB, zero: MiB, discard: MiB } })],
    checkpoints: 4,
  },
  'an older overlay, of 64 KiB': { disks: [disk({ clusterSize: 64 * KiB })], checkpoints: 3 },
  'an overlay made again with larger clusters': {
    disks: [disk({ clusterSize: 64 * KiB, formats: { 3: { clusterSize: 256 * KiB } } })],
    checkpoints: 4,
  },
  'runs of 1 MiB that hide half of the full': {
    disks: [disk({ initial: { bytes: 4 * MiB, pattern: 'runs' }, changes: { bytes: 2 * MiB, pattern: 'runs' } })],
    checkpoints: 3,
  },
  'a disk of one sector more than a MiB': { disks: [disk({ size: MiB + 512 })], checkpoints: 2 },
  'a disk smaller than the claim': { disks: [disk({ size: 2 * KiB })], checkpoints: 2 },
  'a disk smaller than both edges': { disks: [disk({ size: 64 * KiB })], checkpoints: 2 },
  'a size that no cluster divides': { disks: [disk({ size: 5 * MiB + 3 * 512 })], checkpoints: 3 },
  ...byAnotherWriter({
    'two layers': { disks: [disk()], checkpoints: 2 },
    'an empty tip': { disks: [disk({ at: { 3: 'nothing' } })], checkpoints: 3 },
    'a disk that grew twice': { disks: [disk({ resize: { 2: 16 * MiB, 4: 40 * MiB } })], checkpoints: 4 },
    'discards and zeros': { disks: [disk({ changes: { bytes: MiB, zero: MiB, discard: MiB } })], checkpoints: 4 },
    'clusters of 4 KiB': { disks: [disk({ clusterSize: 4 * KiB })], checkpoints: 3 },
    'clusters of 512 bytes': { disks: [disk({ clusterSize: 512, size: 4 * MiB })], checkpoints: 3 },
    'clusters of 2 MiB': { disks: [disk({ clusterSize: 2 * MiB })], checkpoints: 3 },
    'qcow2 version 2': { disks: [disk({ compat: '0.10' })], checkpoints: 3 },
    'compressed clusters': { disks: [disk({ compressed: true })], checkpoints: 3 },
    'extended L2 entries': { disks: [disk({ extendedL2: true })], checkpoints: 3 },
    'recorded backing paths that mean nothing here': {
      disks: [disk({ backing: '/var/run/kubevirt-private/vmi-disks/rootdisk/disk.qcow2' })],
      checkpoints: 4,
    },
    'a mixture of cluster sizes': {
      disks: [disk({ formats: { 2: { clusterSize: 4 * KiB }, 3: { compressed: true }, 4: { compat: '0.10' } } })],
      checkpoints: 4,
    },
    'a size that no cluster divides': { disks: [disk({ size: 5 * MiB + 3 * 512 })], checkpoints: 3 },
  }),
};

function byAnotherWriter(shapes: Record<string, BackupShape>): Record<string, BackupShape> {
  const entries = Object.entries(shapes);
  return Object.fromEntries(
    entries.map(([name, shape]) => [`${name}, by another writer`, { ...shape, like: 'other' }]),
  );
}

interface MadeDisk {
  /** Of the shape. */
  readonly name: string;
  readonly disk: string;
  readonly truth: string;
  readonly chain: readonly LayerDocument[];
}

/** A VM of each shape, all in one bucket folder. */
async function makeEach(t: Test, folder: string): Promise<MadeDisk[]> {
  const disks: MadeDisk[] = [];
  for (const [index, [name, shape]] of Object.entries(SHAPES).entries()) {
    const only: DiskShape = { ...shape.disks[0], name: `disk-${index}` };
    const made = await madeBackup(t, { ...shape, vm: `vm-${index}`, disks: [only] });
    cpSync(join(made.bucket, 'checkpoints'), join(folder, 'checkpoints'), { recursive: true });
    const backup = made.checkpoints.at(-1)?.backup ?? '';
    const chain = await writtenChain(made, backup, only.name);
    disks.push({ name, disk: only.name, truth: truthOf(made, backup, only.name), chain });
  }
  return disks;
}

test('onto dirty devices that are larger than the disk', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const folder = tempFolder(t);
  const bucket = join(folder, 'bucket');
  const disks = await makeEach(t, bucket);
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const devices = disks.map(({ truth }) =>
        loopDevice(t, { size: alignUp(statSync(truth).size, 512) + 3 * MiB, fill: 0xff }),
      );
      const pvcs = disks.map(({ disk, chain }, index) => ({ name: disk, target: devices[index]?.path, chain }));
      const [plan, scratch] = [join(folder, 'plan.yaml'), join(folder, 'scratch')];
      writeFileSync(plan, stringify({ version: 1, source: { directory: bucket }, scratch: { path: scratch }, pvcs }));
      const run = await runRestore(plan, ['--force', '--strategy', strategy, '--verify', 'compare']);
      t.equal(run.exitCode, 0, `exit status (${run.document.error?.message ?? 'no error'})`);
      for (const [index, device] of devices.entries()) {
        const { name = '', disk = '', truth = '' } = disks[index] ?? {};
        await t.test(name, async (t) => {
          t.match(run.document.pvcs[index], { name: disk, state: 'restored', strategy, verified: true });
          await holdsDisk(t, device, { disk, truth });
        });
      }
      t.strictSame(existsSync(scratch) ? readdirSync(scratch) : [], [], 'nothing is left in scratch');
    });
  }
});

test('four disks onto raw files, every backup of a history', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, {
    disks: [
      disk(),
      disk({ name: 'datadisk-1', from: 2 }),
      disk({ name: 'log' }),
      disk({ name: 'swap', size: 4 * MiB }),
    ],
    checkpoints: 4,
    fullEvery: 3,
  });
  for (const [index, { backup }] of made.checkpoints.entries()) {
    const strategy = STRATEGIES[index % STRATEGIES.length] ?? 'staged';
    await t.test(`${backup}, ${strategy}`, async (t) => {
      const run = await restoreAndVerify(t, made, { backup, args: ['--strategy', strategy] });
      t.ok(run.document.pvcs.every(({ state }) => state === 'restored'));
    });
  }
});

test('sixty layers', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await madeBackup(t, { disks: [disk({ changes: { bytes: 256 * KiB } })], checkpoints: 60 });
  const backup = made.checkpoints.at(-1)?.backup ?? '';
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const device = { extra: 0, fill: 0 };
      const run = await restoreAndVerify(t, made, { backup, device, args: ['--strategy', strategy] });
      t.equal(run.document.pvcs[0]?.layers.length, 60);
    });
  }
});
