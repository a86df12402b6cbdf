// Equal buffers of one memory: a piece has one from its request to its last write.

export class Buffers {
  /** The last one given back is taken first, so that memory is touched only as far as it is needed. */
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];

  /** As many buffers of `size` bytes as `memory` has, at least one. */
  constructor(memory: Uint8Array, size: number) {
    for (let end = memory.length - (memory.length % size); end >= size; end -= size) {
      this.#free.push(memory.subarray(end - size, end));
    }
    if (this.#free.length === 0) throw new RangeError('no memory for one buffer');
  }

  /** Waits for a buffer, first come, first served. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const buffer = this.#free.pop();
    if (buffer !== undefined) return buffer;
    return await new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(given), 1);
        reject(signal.reason);
      };
      const given = (next: Uint8Array): void => {
        signal.removeEventListener('abort', leave);
        resolve(next);
      };
      this.#waiting.push(given);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Gives back what `take` gave; nothing may use it afterwards. */
  give(buffer: Uint8Array): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next(buffer);
  }
}
