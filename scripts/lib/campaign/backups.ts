// The small backups that all runs of a campaign share, made once by a real QEMU and uploaded once.

import { KiB, MiB } from '../../../src/units.ts';
import { type BackupForTest, madeBackup, uploadBucket } from '../../../test/helpers/backup.ts';
import { type Rgw, startRgw } from '../../../test/helpers/rgw.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import type { BackupShape } from '../make-backup/shape.ts';

export interface SharedBackup {
  readonly made: BackupForTest;
  readonly bucket: string;
  readonly rgw: Rgw;
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

export async function shareBackups(owner: Owner): Promise<readonly SharedBackup[]> {
  const rgw = await startRgw(owner);
  const shared: SharedBackup[] = [];
  for (const shape of SHAPES) {
    const made = await madeBackup(owner, shape);
    const newest = made.checkpoints.at(-1);
    if (newest === undefined) throw new Error('a backup without checkpoints');
    const disks = newest.layers.map(({ disk, virtualSize }) => ({ name: disk, size: virtualSize }));
    const bucket = await uploadBucket(rgw, made);
    // A dialect that changes requests breaks their signatures.
    await rgw.openToAll(bucket);
    shared.push({ made, bucket, rgw, backup: newest.backup, disks });
  }
  return shared;
}
