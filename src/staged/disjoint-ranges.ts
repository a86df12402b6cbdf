// Ranges that do not overlap, drawn from candidates that are all known beforehand. Pure.
import type { ByteRange } from '../units.ts';

/** Asks and adds in O(log n), whatever the order: a terabyte has a million parts. */
export class DisjointRanges {
  /** Every candidate's offset, ascending, each once. */
  readonly #offsets: readonly number[];
  /** By the offset's index: where the range that was added there ends. */
  readonly #ends: Float64Array;
  /** A Fenwick tree, 1-based: how many of the offsets up to an index have a range. */
  readonly #counts: Int32Array;

  constructor(candidates: readonly ByteRange[]) {
    this.#offsets = [...new Set(candidates.map(({ offset }) => offset))].sort((a, b) => a - b);
    this.#ends = new Float64Array(this.#offsets.length);
    this.#counts = new Int32Array(this.#offsets.length + 1);
  }

  /** Whether a range that was added shares a byte with this one. */
  overlaps({ offset, length }: ByteRange): boolean {
    // They do not overlap each other, so the last one that begins before this one's end also ends last.
    const before = this.#rank(offset + length);
    const count = this.#countUpTo(before);
    return count > 0 && (this.#ends[this.#indexOfNth(count)] ?? 0) > offset;
  }

  /** Adds one of the candidates, which overlaps none that was added. */
  add({ offset, length }: ByteRange): void {
    const index = this.#rank(offset);
    this.#ends[index] = offset + length;
    for (let node = index + 1; node < this.#counts.length; node += node & -node) {
      this.#counts[node] = (this.#counts[node] ?? 0) + 1;
    }
  }

  /** How many candidates' offsets are less than `offset`. */
  #rank(offset: number): number {
    let [low, high] = [0, this.#offsets.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#offsets[middle] ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #countUpTo(rank: number): number {
    let count = 0;
    for (let node = rank; node > 0; node -= node & -node) count += this.#counts[node] ?? 0;
    return count;
  }

  /** The index of the `nth` offset (from 1) that has a range. */
  #indexOfNth(nth: number): number {
    let node = 0;
    let left = nth;
    for (let step = 2 ** Math.floor(Math.log2(this.#offsets.length)); step >= 1; step /= 2) {
      const count = this.#counts[node + step];
      if (count === undefined || count >= left) continue;
      node += step;
      left -= count;
    }
    return node;
  }
}
