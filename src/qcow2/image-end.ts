// Checks that a layer's file is as long as its tables need. `qemu-img check` accepts a file that ends too early: the missing
// part reads as zeros, an L2 table included.
import { DatamoverError } from '../errors.ts';
import { alignUp } from '../units.ts';
import type { Qcow2Header } from './header.ts';
import { decodeL1 } from './tables.ts';

export interface ImageEnd {
  /** Names the layer in messages. */
  readonly where: string;
  readonly fileSize: number;
  /** What `qemu-img check` reports: the end of the last cluster in use. */
  readonly imageEndOffset: number;
  /** Where plain data ends (`qemu-img map`); called only when the file ends within its last cluster. */
  readonly dataEnd: () => Promise<number>;
  /** Bytes of the file; the range is inside it. */
  readonly read: (range: { readonly offset: number; readonly length: number }) => Promise<Uint8Array>;
}

/**
 * Refuses a truncated file. Its last cluster may be incomplete: an L1 table made by `qemu-img create`, the last compressed
 * cluster, and a cluster with subclusters end where their bytes end. An L2 table, a refcount block and plain data must be
 * inside. (How many bytes of its last sector a compressed cluster needs is recorded nowhere.)
 * @param header one that `validateHeader` accepted.
 * @throws DatamoverError IMAGE_CORRUPT
 */
export async function checkImageEnd(header: Qcow2Header, end: ImageEnd): Promise<void> {
  const { where, fileSize, imageEndOffset } = end;
  if (imageEndOffset <= fileSize) return;
  const truncated = (what: string): DatamoverError =>
    new DatamoverError(
      'IMAGE_CORRUPT',
      `${where}: truncated image: ${what} ends at byte ${imageEndOffset}, the file at ${fileSize}`,
      {
        hint: 'the layer was not copied completely: get another copy of it',
      },
    );
  if (imageEndOffset > alignUp(fileSize, header.clusterSize)) throw truncated('the last cluster');
  const lastCluster = imageEndOffset - header.clusterSize;
  if (await pointsAt(lastCluster, header.l1TableOffset, header.l1Size * 8, end)) throw truncated('an L2 table');
  const refcountBytes = header.refcountTableClusters * header.clusterSize;
  if (await pointsAt(lastCluster, header.refcountTableOffset, refcountBytes, end)) throw truncated('a refcount block');
  if ((await end.dataEnd()) > fileSize) throw truncated('the last data cluster');
  // Remaining: the L1 table, whose own end validateHeader checks, compressed data, or a bitmap, which is never read.
}

/** Whether an entry of the table (L1, or refcount: both hold offsets in bits 9…55) points at a cluster. */
async function pointsAt(cluster: number, offset: number, length: number, { read }: ImageEnd): Promise<boolean> {
  return decodeL1(await read({ offset, length })).includes(cluster);
}
