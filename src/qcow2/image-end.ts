// Is a layer's file long enough for what its tables use? `qemu-img check` does not mind a file that ends too early: what is
// cut off reads as zeros, an L2 table included.
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
  /** Where plain data ends (`qemu-img map`); asked only when the file ends within its last cluster. */
  readonly dataEnd: () => Promise<number>;
  /** Bytes of the file; the range lies inside it. */
  readonly read: (range: { readonly offset: number; readonly length: number }) => Promise<Uint8Array>;
}

/**
 * Refuses a file that was cut short. Its last cluster need not be whole: an L1 table made by `qemu-img create`, the last
 * compressed cluster, and a cluster with subclusters end where their bytes end. An L2 table, a refcount block and plain
 * data must be inside. (How many bytes of its last sector a compressed cluster needs is recorded nowhere.)
 * @param header one that `judgeHeader` let pass.
 * @throws DatamoverError IMAGE_CORRUPT
 */
export async function checkImageEnd(header: Qcow2Header, end: ImageEnd): Promise<void> {
  const { where, fileSize, imageEndOffset } = end;
  if (imageEndOffset <= fileSize) return;
  const cut = (what: string): DatamoverError =>
    new DatamoverError(
      'IMAGE_CORRUPT',
      `${where} is cut short: ${what} ends at byte ${imageEndOffset}, the file at ${fileSize}`,
      {
        hint: 'the layer was not copied whole: take another copy of it',
      },
    );
  if (imageEndOffset > alignUp(fileSize, header.clusterSize)) throw cut('its last cluster');
  const lastCluster = imageEndOffset - header.clusterSize;
  if (await pointsAt(lastCluster, header.l1TableOffset, header.l1Size * 8, end)) throw cut('an L2 table');
  const refcountBytes = header.refcountTableClusters * header.clusterSize;
  if (await pointsAt(lastCluster, header.refcountTableOffset, refcountBytes, end)) throw cut('a refcount block');
  if ((await end.dataEnd()) > fileSize) throw cut('its last data cluster');
  // What is left: the L1 table, whose own end judgeHeader looked at, compressed data, or a bitmap, which nobody reads.
}

/** Whether an entry of the table (L1, or refcount: both hold offsets in bits 9…55) points at a cluster. */
async function pointsAt(cluster: number, offset: number, length: number, { read }: ImageEnd): Promise<boolean> {
  return decodeL1(await read({ offset, length })).includes(cluster);
}
