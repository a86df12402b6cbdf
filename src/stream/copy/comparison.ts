// Compares a disk with what a target holds, range by range as it is received. Nothing is written.
import type { Destination, Prepared } from '../../chain/destination.ts';
import { type ByteRange, KiB, MiB } from '../../units.ts';
import { type BorrowedMemory, borrowMemory } from '../fetch/memory.ts';
import { Buffers } from './buffers.ts';

export interface ComparisonOptions {
  readonly unit: number;
  /** Fills `room`, which starts at a page, from `offset` of the target on. */
  readonly read: (room: Uint8Array, offset: number) => Promise<void>;
  /** The error for a byte that differs. */
  readonly mismatch: (offset: number) => Error;
  readonly signal: AbortSignal;
}

/** Bytes compared at a time, and how many such reads. */
const CHUNK = MiB;
const READS = 8;

const ZEROS = new Uint8Array(CHUNK);

/** Rejects with the error for the first byte that differs in a range, and as `read` does. */
export class Comparison implements Destination {
  readonly unit: number;
  readonly #options: ComparisonOptions;
  readonly #memory: BorrowedMemory = borrowMemory(CHUNK * READS);
  readonly #buffers = new Buffers(this.#memory.bytes, CHUNK);

  constructor(options: ComparisonOptions) {
    this.#options = options;
    this.unit = options.unit;
  }

  async prepare(): Promise<Prepared> {
    return { readsZero: false };
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; done += CHUNK) {
      await this.#compare(bytes.subarray(done, done + CHUNK), offset + done);
    }
  }

  async zero({ offset, length }: ByteRange): Promise<void> {
    for (let done = 0; done < length; done += CHUNK) {
      await this.#compare(ZEROS.subarray(0, Math.min(CHUNK, length - done)), offset + done);
    }
  }

  /** No comparison may be under way. */
  close(): void {
    this.#memory.giveBack();
  }

  async #compare(expected: Uint8Array, offset: number): Promise<void> {
    const { read, mismatch, signal } = this.#options;
    const buffer = await this.#buffers.take(signal);
    try {
      const found = buffer.subarray(0, expected.length);
      await read(found, offset);
      if (Buffer.compare(found, expected) !== 0) throw mismatch(offset + firstDifference(found, expected));
    } finally {
      this.#buffers.give(buffer);
    }
  }
}

const STEP = 4 * KiB;

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  let at = 0;
  while (Buffer.compare(a.subarray(at, at + STEP), b.subarray(at, at + STEP)) === 0) at += STEP;
  while (a[at] === b[at]) at += 1;
  return at;
}
