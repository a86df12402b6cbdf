// Memory for fetched bytes: one stretch of a fixed size, given out in pages and taken back, so that neither the garbage
// collector nor the heap grows with what passes through.
import { KiB } from '../../units.ts';
import { type BorrowedMemory, borrowMemory } from './memory.ts';

/** Clusters are 64 KiB nearly everywhere: smaller pages would only add pieces, larger ones waste room. */
export const PAGE_SIZE = 64 * KiB;

/**
 * Pages of 64 KiB of one lazily touched memory. What is taken need not be contiguous, so nothing is lost to
 * fragmentation; the lowest free pages come first, so that a window that is never full never takes up all its memory.
 */
export class Arena {
  readonly #memory: BorrowedMemory;
  readonly #used: Uint8Array;
  #free: number;

  /** `size` in bytes, rounded down to whole pages, at least one. */
  constructor(size: number) {
    this.#memory = borrowMemory(Math.max(1, Math.floor(size / PAGE_SIZE)) * PAGE_SIZE);
    const pages = this.#memory.bytes.length / PAGE_SIZE;
    this.#used = new Uint8Array(pages);
    this.#free = pages;
  }

  /** Bytes that `take` can still give. */
  get free(): number {
    return this.#free * PAGE_SIZE;
  }

  get size(): number {
    return this.#memory.bytes.length;
  }

  /** Memory for `length` bytes (≥ 1), or undefined when so much is not free. */
  take(length: number): Memory | undefined {
    const needed = Math.ceil(length / PAGE_SIZE);
    if (needed > this.#free) return undefined;
    this.#free -= needed;
    const runs: Uint8Array[] = [];
    for (let left = needed, from = 0; left > 0; ) {
      const first = this.#used.indexOf(0, from);
      const end = this.#runEnd(first, left);
      this.#used.fill(1, first, end);
      runs.push(this.#memory.bytes.subarray(first * PAGE_SIZE, end * PAGE_SIZE));
      left -= end - first;
      from = end;
    }
    return new Memory(runs, length, () => this.#giveBack(runs));
  }

  /** Gives its memory to whoever needs some next. Nothing may hold any of it. */
  close(): void {
    this.#memory.giveBack();
  }

  #runEnd(first: number, most: number): number {
    let end = first + 1;
    while (end < first + most && this.#used[end] === 0) end += 1;
    return end;
  }

  #giveBack(runs: readonly Uint8Array[]): void {
    for (const run of runs) {
      const first = run.byteOffset / PAGE_SIZE;
      const pages = run.length / PAGE_SIZE;
      this.#used.fill(0, first, first + pages);
      this.#free += pages;
    }
  }
}

/** A length of bytes that lies in one or more stretches of the arena. */
export class Memory {
  readonly length: number;
  readonly #runs: readonly Uint8Array[];
  #giveBack: (() => void) | undefined;

  constructor(runs: readonly Uint8Array[], length: number, giveBack: () => void) {
    this.length = length;
    this.#runs = runs;
    this.#giveBack = giveBack;
  }

  /** The bytes from `from` up to `to` (or to the end of their stretch), as they lie there: never empty while `from` < `length`. */
  room(from: number): Uint8Array {
    let start = 0;
    for (const run of this.#runs) {
      if (from < start + run.length) return run.subarray(from - start, Math.min(run.length, this.length - start));
      start += run.length;
    }
    return new Uint8Array(0);
  }

  /** The bytes [from, to), as views of the arena. */
  slice(from: number, to: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    let start = 0;
    for (const run of this.#runs) {
      const end = start + run.length;
      if (from < end && to > start) {
        views.push(run.subarray(Math.max(from - start, 0), Math.min(to - start, run.length)));
      }
      if (to <= end) break;
      start = end;
    }
    return views;
  }

  /** Gives the pages back; nothing may read or write them any more. Idempotent. */
  free(): void {
    this.#giveBack?.();
    this.#giveBack = undefined;
  }
}
