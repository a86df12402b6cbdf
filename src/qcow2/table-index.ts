// Where an image's L2 tables and refcount blocks are in its file, and in which order they are read. Pure.
import type { Qcow2Header } from './header.ts';
import { bytesPerL1Entry } from './judge.ts';
import { decodeL1 } from './tables.ts';

/** Tables are read in slices of at most so many bytes, which is what QEMU does (its l2-cache-entry-size). */
const SLICE_SIZE = 64 * 1024;

export interface TableSlice {
  /** Host offsets. */
  readonly start: number;
  readonly end: number;
  /** Position in the order of reading: L2 tables by guest offset, then refcount blocks. */
  readonly rank: number;
}

export interface TableIndexOptions {
  readonly header: Qcow2Header;
  /** The L1 table's bytes. */
  readonly l1: Uint8Array;
  /** The refcount table's bytes. */
  readonly refcounts: Uint8Array;
  readonly fileSize: number;
}

/** 20 bytes a slice, nothing for tables that do not exist. Offsets outside of the file, from a damaged table, are skipped. */
export class TableIndex {
  /** Bytes of one slice; the last one of the file may be shorter. */
  readonly sliceSize: number;
  /** Guest bytes that a slice of an L2 table maps. */
  readonly guestSpan: number;
  /** Number of slices of L2 tables: the ranks below this. */
  readonly l2Count: number;
  readonly #fileSize: number;
  /** By rank. */
  readonly #hosts: Float64Array;
  /** By rank, L2 tables only: guest offset in units of the span. */
  readonly #guests: Uint32Array;
  /** Ranks by host offset. */
  readonly #byHost: Uint32Array;

  constructor({ header, l1, refcounts, fileSize }: TableIndexOptions) {
    const { clusterSize } = header;
    this.#fileSize = fileSize;
    this.sliceSize = Math.min(clusterSize, SLICE_SIZE);
    const slices = clusterSize / this.sliceSize;
    this.guestSpan = bytesPerL1Entry(header) / slices;
    const usable = (offset: number): boolean => offset > 0 && offset % clusterSize === 0 && offset < fileSize;
    const tables = decodeL1(l1);
    const blocks = decodeL1(refcounts).filter(usable);
    this.l2Count = slices * tables.reduce((count, offset) => count + (usable(offset) ? 1 : 0), 0);
    this.#hosts = new Float64Array(this.l2Count + blocks.length * slices);
    this.#guests = new Uint32Array(this.l2Count);
    let rank = 0;
    for (const [index, offset] of tables.entries()) {
      if (!usable(offset)) continue;
      for (let slice = 0; slice < slices; slice += 1, rank += 1) {
        this.#hosts[rank] = offset + slice * this.sliceSize;
        this.#guests[rank] = index * slices + slice;
      }
    }
    for (const offset of blocks) {
      for (let slice = 0; slice < slices; slice += 1, rank += 1) this.#hosts[rank] = offset + slice * this.sliceSize;
    }
    this.#byHost = Uint32Array.from(this.#hosts.keys()).sort((a, b) => this.#host(a) - this.#host(b));
  }

  get count(): number {
    return this.#hosts.length;
  }

  /** The slice that contains the byte at `offset`; undefined if none does. */
  find(offset: number): TableSlice | undefined {
    const after = lowerBound(this.#byHost.length, (place) => this.#host(this.#byHost[place] ?? 0) > offset);
    const rank = after === 0 ? undefined : this.#byHost[after - 1];
    if (rank === undefined) return undefined;
    const slice = this.at(rank);
    return offset < slice.end ? slice : undefined;
  }

  /** `rank` is 0 … `count` − 1. */
  at(rank: number): TableSlice {
    const start = this.#host(rank);
    return { start, end: Math.min(start + this.sliceSize, this.#fileSize), rank };
  }

  /** The first guest byte that an L2 slice maps; Infinity for refcount blocks and ranks past the end. */
  guestOf(rank: number): number {
    return rank < this.l2Count ? (this.#guests[rank] ?? 0) * this.guestSpan : Number.POSITIVE_INFINITY;
  }

  /** The first L2 slice that maps the guest byte at `guest` or later ones; `l2Count` when none does. */
  rankAt(guest: number): number {
    const unit = Math.floor(guest / this.guestSpan);
    return lowerBound(this.l2Count, (rank) => (this.#guests[rank] ?? 0) >= unit);
  }

  #host(rank: number): number {
    return this.#hosts[rank] ?? 0;
  }
}

/** The first of 0 … `count` − 1 for which `holds` is true, as it is for all after it; `count` when there is none. */
function lowerBound(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
