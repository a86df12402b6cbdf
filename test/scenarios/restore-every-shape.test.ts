// Every shape of chain that a backup can have, restored through every strategy onto devices and files.
import { test } from 'tap';
import type { BackupShape, DiskShape } from '../../scripts/lib/make-backup/shape.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, madeBackup } from '../helpers/backup.ts';
import { requires } from '../helpers/requires.ts';
import { restoreAndVerify } from '../helpers/restore.ts';

const STRATEGIES = ['staged', 'staged-raw', 'stream'];

const disk = (shape: Partial<DiskShape> = {}): DiskShape => ({ name: 'rootdisk', size: 16 * MiB, ...shape });

const SHAPES: Record<string, BackupShape> = {
  'one layer': { disks: [disk()], checkpoints: 1 },
  'two layers': { disks: [disk()], checkpoints: 2 },
  'five layers, an empty one among them': { disks: [disk({ at: { 3: 'nothing' } })], checkpoints: 5 },
  'an empty tip': { disks: [disk({ at: { 3: 'nothing' } })], checkpoints: 3 },
  'a disk that grew twice': { disks: [disk({ resize: { 2: 24 * MiB, 4: 40 * MiB } })], checkpoints: 4 },
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
    disks: [disk({ initial: { bytes: 8 * MiB, pattern: 'runs' }, changes: { bytes: 4 * MiB, pattern: 'runs' } })],
    checkpoints: 3,
  },
  'a disk of one sector more than a MiB': { disks: [disk({ size: MiB + 512 })], checkpoints: 2 },
  'a disk smaller than the claim': { disks: [disk({ size: 2 * KiB })], checkpoints: 2 },
  'a disk smaller than both edges': { disks: [disk({ size: 64 * KiB })], checkpoints: 2 },
  'a size that no cluster divides': { disks: [disk({ size: 5 * MiB + 3 * 512 })], checkpoints: 3 },
  ...byAnotherWriter({
    'two layers': { disks: [disk()], checkpoints: 2 },
    'an empty tip': { disks: [disk({ at: { 3: 'nothing' } })], checkpoints: 3 },
    'a disk that grew twice': { disks: [disk({ resize: { 2: 24 * MiB, 4: 40 * MiB } })], checkpoints: 4 },
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

test('onto dirty devices that are larger than the disk', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  for (const [name, shape] of Object.entries(SHAPES)) {
    await t.test(name, async (t) => {
      const made = await madeBackup(t, shape);
      const backup = made.checkpoints.at(-1)?.backup ?? '';
      for (const strategy of STRATEGIES) {
        await t.test(strategy, async (t) => {
          const run = await restoreAndVerify(t, made, {
            backup,
            device: { extra: 3 * MiB, fill: 0xff },
            args: ['--strategy', strategy, '--verify', 'compare'],
          });
          t.equal(run.document.pvcs[0]?.verified, true);
        });
      }
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
