// What every opening of a layer reads: its first cluster, L1 table and refcount table. Fetched once, kept for good.
import { TableIndex } from '../../qcow2/table-index.ts';
import { KiB } from '../../units.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import { BLOCK_SIZE, SparseBlock } from './sparse-block.ts';

/** Roots that end within so many bytes come in one read; QEMU puts them into the first four clusters. */
export const ONE_READ = 512 * KiB;
/** The first cluster may have 2 MiB, of which nobody reads more than the header. */
const HEAD_BYTES = BLOCK_SIZE;

interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Roots {
  readonly tables: TableIndex;
  /** The layer's first bytes, at least its header. */
  readonly head: Uint8Array;
  /** The block that holds the root's byte at `offset`, and where in the layer it begins; undefined where no root lies. */
  find(offset: number): { readonly start: number; readonly bytes: SparseBlock } | undefined;
}

/**
 * Gives, besides, the bytes from 0 on that were fetched for it: they may hold tables too. They lie in `buffer`, which has
 * ONE_READ bytes. Rejects as `ObjectStore.read`. `validateHeader` has proven that the roots lie inside of the object.
 */
export async function readRoots(
  layer: RemoteLayer,
  { buffer, signal }: { readonly buffer: Uint8Array; readonly signal: AbortSignal },
): Promise<{ readonly roots: Roots; readonly fetched: Uint8Array }> {
  const { header, size } = layer;
  const ranges = {
    head: { start: 0, end: Math.min(header.clusterSize, HEAD_BYTES, size) },
    l1: rangeOf(header.l1TableOffset, header.l1Size * 8),
    refcounts: rangeOf(header.refcountTableOffset, header.refcountTableClusters * header.clusterSize),
  };
  const wanted = Object.values(ranges);
  const oneEnd = Math.max(...wanted.map(({ end }) => end).filter((end) => end <= ONE_READ));
  const fetched = buffer.subarray(0, oneEnd);
  await layer.fetchInto(fetched, 0, signal);
  const bytesOf = async ({ start, end }: Span): Promise<Uint8Array> =>
    end <= oneEnd ? fetched.subarray(start, end) : await layer.bytes(start, end - start, signal);
  const l1 = await bytesOf(ranges.l1);
  const refcounts = await bytesOf(ranges.refcounts);
  const head = fetched.subarray(0, ranges.head.end);
  const kept = [
    { ...ranges.head, blocks: split(head) },
    { ...ranges.l1, blocks: split(l1) },
    { ...ranges.refcounts, blocks: split(refcounts) },
  ];
  const roots: Roots = {
    tables: new TableIndex({ header, l1, refcounts, fileSize: size }),
    head: Uint8Array.from(head.subarray(0, 512)),
    find: (offset) => {
      const root = kept.find(({ start, end }) => offset >= start && offset < end);
      if (root === undefined) return undefined;
      const index = Math.floor((offset - root.start) / BLOCK_SIZE);
      const bytes = root.blocks[index];
      return bytes && { start: root.start + index * BLOCK_SIZE, bytes };
    },
  };
  return { roots, fetched };
}

function rangeOf(start: number, length: number): Span {
  return { start, end: start + length };
}

function split(bytes: Uint8Array): SparseBlock[] {
  const blocks: SparseBlock[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE)
    blocks.push(new SparseBlock(bytes.subarray(at, at + BLOCK_SIZE)));
  return blocks;
}
