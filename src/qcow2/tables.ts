// Decodes L1 and L2 table entries (docs/interop/qcow2.txt, "Cluster mapping"). Pure; offsets are not validated here: a
// damaged table gives offsets beyond the file, which the caller must refuse.

/** The layout of table entries in one image. */
export interface TableFormat {
  /** 9…21. */
  readonly clusterBits: number;
  /** Entries of 16 bytes with a subcluster bitmap, instead of 8. */
  readonly extendedL2: boolean;
}

export type L2Entry =
  /** Not in this layer: read from its parent. */
  | { readonly kind: 'unallocated' }
  /** Reads as zeros, whatever the parent contains. */
  | { readonly kind: 'zero' }
  /** One cluster at `offset`. */
  | { readonly kind: 'data'; readonly offset: number }
  /** Compressed data in `offset` … `offset + length`, where the end may be up to 511 bytes too far. */
  | { readonly kind: 'compressed'; readonly offset: number; readonly length: number }
  /**
   * A cluster with extended entries at `offset` (0: none). Bit n of `allocated`: subcluster n is data in the cluster; of
   * `zero`: it reads as zeros; of neither: it is read from the parent.
   */
  | { readonly kind: 'subclusters'; readonly offset: number; readonly allocated: number; readonly zero: number };

/** Entries of one L2 table, which fills one cluster. */
export function l2EntriesPerTable({ clusterBits, extendedL2 }: TableFormat): number {
  return 2 ** clusterBits / (extendedL2 ? 16 : 8);
}

/** Bytes of the smallest part of the virtual disk that an entry describes. */
export function subclusterSize({ clusterBits, extendedL2 }: TableFormat): number {
  return 2 ** clusterBits / (extendedL2 ? 32 : 1);
}

/**
 * The L2 table offsets of an L1 table; 0 where there is no L2 table. Bytes after the last complete entry are ignored.
 * Exact, since offsets are below 2^56 and multiples of 512.
 */
export function decodeL1(bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const offsets = new Float64Array(Math.floor(bytes.length / 8));
  for (let index = 0; index < offsets.length; index += 1) {
    offsets[index] = hostOffset(view.getUint32(index * 8), view.getUint32(index * 8 + 4));
  }
  return offsets;
}

/**
 * One entry of an L2 table.
 * @param index 0 … `l2EntriesPerTable` − 1, and inside `table`; else a RangeError, which is a bug of the caller.
 */
export function decodeL2Entry(table: Uint8Array, index: number, format: TableFormat): L2Entry {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const at = index * (format.extendedL2 ? 16 : 8);
  const high = view.getUint32(at);
  const low = view.getUint32(at + 4);
  if ((high & COMPRESSED) !== 0) return compressed(high, low, format.clusterBits);
  const offset = hostOffset(high, low);
  if (format.extendedL2) {
    const zero = view.getUint32(at + 8);
    const allocated = view.getUint32(at + 12);
    return allocated === 0 && zero === 0 ? { kind: 'unallocated' } : { kind: 'subclusters', offset, allocated, zero };
  }
  if ((low & ZERO) !== 0) return { kind: 'zero' };
  return offset === 0 ? { kind: 'unallocated' } : { kind: 'data', offset };
}

/** Bit 62, seen from the upper half. */
const COMPRESSED = 0x40000000;
const ZERO = 1;

/** Bits 9…55. */
function hostOffset(high: number, low: number): number {
  return (high & 0x00ffffff) * 2 ** 32 + ((low & 0xfffffe00) >>> 0);
}

/** Bits 0…x−1: host offset; x…61: sectors of 512 bytes after the one that contains the offset; x = 62 − (cluster bits − 8). */
function compressed(high: number, low: number, clusterBits: number): L2Entry {
  const offsetBitsInHigh = 62 - (clusterBits - 8) - 32;
  const highBits = high & 0x3fffffff;
  const offset = (highBits % 2 ** offsetBitsInHigh) * 2 ** 32 + low;
  const sectors = Math.floor(highBits / 2 ** offsetBitsInHigh) + 1;
  return { kind: 'compressed', offset, length: sectors * 512 - (offset % 512) };
}
