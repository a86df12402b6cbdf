// Whether an image's own tables leave anything to a parent. Pure.
import type { Qcow2Header } from './header.ts';
import { bytesPerL1Entry } from './judge.ts';
import { decodeL2Entry, l2EntriesPerTable, subclusterSize } from './tables.ts';

/** L1 entries that the virtual disk needs; the table may have more. */
export function neededL1Entries(header: Qcow2Header): number {
  return Math.ceil(header.virtualSize / bytesPerL1Entry(header));
}

/**
 * The first byte of the virtual disk that one L2 table leaves to a parent; undefined where it leaves nothing.
 * @param table the table's bytes, one cluster.
 * @param index its place in the L1 table.
 */
export function findUncovered(header: Qcow2Header, table: Uint8Array, index: number): number | undefined {
  const { clusterSize, clusterBits, virtualSize, version, features } = header;
  const format = { clusterBits, extendedL2: features.extendedL2 };
  const start = index * bytesPerL1Entry(header);
  const entries = Math.min(l2EntriesPerTable(format), Math.ceil((virtualSize - start) / clusterSize));
  for (let entry = 0; entry < entries; entry += 1) {
    const found = decodeL2Entry(table, entry, format);
    const guest = start + entry * clusterSize;
    // QEMU refuses an image of version 2 with a zero cluster: the flag came with version 3.
    if (found.kind === 'unallocated' || (found.kind === 'zero' && version === 2)) return guest;
    if (found.kind !== 'subclusters') continue;
    const size = subclusterSize(format);
    const covered = (found.allocated | found.zero) >>> 0;
    const count = Math.min(32, Math.ceil((virtualSize - guest) / size));
    for (let bit = 0; bit < count; bit += 1) {
      if (((covered >>> bit) & 1) === 0) return guest + bit * size;
    }
  }
  return undefined;
}
