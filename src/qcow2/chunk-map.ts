// Maps a range of the virtual disk to layers and offsets in their files, from the layers' L2 entries, tip first. Used only to
// predict what QEMU will read: QEMU reads the tables itself, so a wrong prediction costs time and never bytes. Pure.
import { decodeL2Entry, type L2Entry, type TableFormat } from './tables.ts';

export interface ChunkRun {
  /** Where it starts in the range, bytes. */
  readonly start: number;
  /** As it was given to `overlay`. */
  readonly layer: number;
  /** In that layer's file. */
  readonly offset: number;
  readonly length: number;
}

/** Owners below 0 are not layers: not known yet; zeros; compressed data, which start at a granule in `#compressed`. */
const OPEN = -1;
const ZERO = -2;
const COMPRESSED = -3;

export class ChunkMap {
  /** Bytes of the smallest (sub)cluster of any layer. */
  readonly #granule: number;
  readonly #owners: Int32Array;
  readonly #hosts: Float64Array;
  readonly #compressed = new Map<number, Omit<ChunkRun, 'start'>>();
  #open: number;

  /** `size` is a multiple of `granule`. */
  constructor({ size, granule }: { readonly size: number; readonly granule: number }) {
    this.#granule = granule;
    this.#owners = new Int32Array(size / granule).fill(OPEN);
    this.#hosts = new Float64Array(size / granule);
    this.#open = this.#owners.length;
  }

  /** Whether no part of the range depends on further layers. */
  get complete(): boolean {
    return this.#open === 0;
  }

  /** Resets it for another range of the same size. */
  clear(): void {
    this.#owners.fill(OPEN);
    this.#compressed.clear();
    this.#open = this.#owners.length;
  }

  /**
   * Adds entries of a layer below those of the layers that were added before.
   * @param entries complete entries of an L2 table.
   * @param start where in the range the first of them starts; a multiple of the layer's clusters, or below 0.
   */
  overlay(layer: number, entries: Uint8Array, start: number, format: TableFormat): void {
    const entrySize = format.extendedL2 ? 16 : 8;
    const cluster = 2 ** format.clusterBits;
    for (let index = 0; (index + 1) * entrySize <= entries.length; index += 1) {
      const entry = decodeL2Entry(entries, index, format);
      if (entry.kind !== 'unallocated') this.#overlayEntry(layer, entry, start + index * cluster, cluster);
    }
  }

  /** From `start` on, parts that no layer has claimed read as zeros: the layer's disk ends there. */
  end(start: number): void {
    this.#put(start, this.#owners.length * this.#granule - start, ZERO, 0);
  }

  /** Yields the runs of data in order; runs that are adjacent in both the virtual disk and the file are joined. */
  *runs(): Generator<ChunkRun, void, undefined> {
    const count = this.#owners.length;
    for (let first = 0; first < count; ) {
      const owner = this.#owners[first] ?? OPEN;
      const compressed = this.#compressed.get(first);
      if (owner === COMPRESSED && compressed !== undefined) yield { start: first * this.#granule, ...compressed };
      const offset = this.#hosts[first] ?? 0;
      let next = first + 1;
      while (next < count && this.#follows(next, owner, offset + (next - first) * this.#granule)) next += 1;
      const length = (next - first) * this.#granule;
      if (owner >= 0) yield { start: first * this.#granule, layer: owner, offset, length };
      first = next;
    }
  }

  #follows(granule: number, owner: number, host: number): boolean {
    if (this.#owners[granule] !== owner) return false;
    if (owner === COMPRESSED) return !this.#compressed.has(granule);
    return owner < 0 || this.#hosts[granule] === host;
  }

  #overlayEntry(layer: number, entry: Exclude<L2Entry, { kind: 'unallocated' }>, start: number, cluster: number): void {
    if (entry.kind === 'zero') this.#put(start, cluster, ZERO, 0);
    else if (entry.kind === 'data') this.#put(start, cluster, layer, entry.offset);
    else if (entry.kind === 'compressed') {
      const first = this.#put(start, cluster, COMPRESSED, 0);
      if (first !== undefined) this.#compressed.set(first, { layer, offset: entry.offset, length: entry.length });
    } else {
      const subcluster = cluster / 32;
      for (let bit = 0; bit < 32; bit += 1) {
        const at = bit * subcluster;
        if ((entry.allocated & (2 ** bit)) !== 0) this.#put(start + at, subcluster, layer, entry.offset + at);
        else if ((entry.zero & (2 ** bit)) !== 0) this.#put(start + at, subcluster, ZERO, 0);
      }
    }
  }

  /** Returns the first granule that was still open; undefined if none was. */
  #put(start: number, length: number, owner: number, host: number): number | undefined {
    const from = Math.max(0, Math.ceil(start / this.#granule));
    const to = Math.min(this.#owners.length, (start + length) / this.#granule);
    let first: number | undefined;
    for (let granule = from; granule < to; granule += 1) {
      if (this.#owners[granule] !== OPEN) continue;
      first ??= granule;
      this.#owners[granule] = owner;
      this.#hosts[granule] = host + granule * this.#granule - start;
      this.#open -= 1;
    }
    return first;
  }
}
