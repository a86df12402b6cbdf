// The small backups that all runs of a campaign share, made once by a real QEMU and uploaded once.

import { KiB, MiB } from '../../../src/units.ts';
import { type BackupForTest, madeBackup, type PlanDocument } from '../../../test/helpers/backup.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import type { BackupShape } from '../make-backup/shape.ts';
import { type CampaignStore, type StoreName, startStore } from './stores.ts';

export interface SharedBackup {
  readonly made: BackupForTest;
  readonly store: CampaignStore;
  /** A plan's source by the address that the store is read through. */
  readonly sourceBy: (origin: string) => PlanDocument['source'];
  /** The newest backup's name. */
  readonly backup: string;
  /** Its disks and their sizes in bytes, in the index's order. */
  readonly disks: readonly { readonly name: string; readonly size: number }[];
}

const SHAPES: readonly BackupShape[] = [
  { disks: [{ name: 'rootdisk', size: 32 * MiB, initial: { bytes: 16 * MiB } }], checkpoints: 4 },
  {
    disks: [
      { name: 'rootdisk', size: 16 * MiB },
      { name: 'datadisk', size: 24 * MiB, initial: { bytes: 8 * MiB, pattern: 'runs' } },
    ],
    checkpoints: 3,
  },
  {
    like: 'other',
    disks: [
      {
        name: 'rootdisk',
        size: 16 * MiB,
        clusterSize: 4 * KiB,
        compressed: true,
        resize: { 4: 20 * MiB },
        changes: { bytes: MiB, zero: MiB, discard: MiB },
      },
    ],
    checkpoints: 9,
  },
];

export const BACKUP_COUNT = SHAPES.length;

/** The first `count` of them. */
export async function shareBackups(
  owner: Owner,
  name: StoreName = 's3',
  count = BACKUP_COUNT,
): Promise<readonly SharedBackup[]> {
  const store = await startStore(owner, name);
  const shared: SharedBackup[] = [];
  for (const shape of SHAPES.slice(0, count)) {
    const made = await madeBackup(owner, shape);
    const newest = made.checkpoints.at(-1);
    if (newest === undefined) throw new Error('a backup without checkpoints');
    const disks = newest.layers.map(({ disk, virtualSize }) => ({ name: disk, size: virtualSize }));
    shared.push({ made, store, sourceBy: await store.share(made), backup: newest.backup, disks });
  }
  return shared;
}
