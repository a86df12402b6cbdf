// A sink that keeps the beginning of a body: an error's, which is small.
import type { Sink } from '../store.ts';

/** Bytes kept of a body. */
const LIMIT = 64 * 1024;

export class BodyBeginning implements Sink {
  readonly #memory = new Uint8Array(LIMIT);
  #used = 0;

  get full(): boolean {
    return this.#used === this.#memory.length;
  }

  get bytes(): Uint8Array {
    return this.#memory.subarray(0, this.#used);
  }

  room(): Uint8Array {
    return this.#memory.subarray(this.#used);
  }

  filled(count: number): void {
    this.#used += count;
  }
}
