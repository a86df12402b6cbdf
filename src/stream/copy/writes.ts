// The writes of all pieces that have come, so many at a time. A disk of small clusters has thousands of them a second: each
// costs one promise, the destination's.
import type { Destination } from '../../chain/destination.ts';

export interface WritesOptions {
  readonly destination: Pick<Destination, 'write'>;
  /** Writes at a time. */
  readonly limit: number;
  /** Stops all else, before the next write is started. */
  readonly fail: (error: unknown) => void;
  /** No write is started once it is aborted. */
  readonly signal: AbortSignal;
}

export interface Write {
  readonly bytes: Uint8Array;
  /** Of the disk. */
  readonly offset: number;
}

interface Batch {
  left: number;
  failure: { readonly error: unknown } | undefined;
  readonly settle: (failure: { readonly error: unknown } | undefined) => void;
}

export class Writes {
  readonly #options: WritesOptions;
  readonly #waiting: { readonly write: Write; readonly batch: Batch }[] = [];
  #running = 0;

  constructor(options: WritesOptions) {
    this.#options = options;
  }

  /**
   * Settles when no write reads the memory of `writes` any more. Rejects with the first failure among them, or with the signal's
   * reason.
   */
  all(writes: readonly Write[]): Promise<void> {
    if (writes.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (failure: Batch['failure']): void => {
        if (failure === undefined) resolve();
        else reject(failure.error);
      };
      const batch: Batch = { left: writes.length, failure: undefined, settle };
      for (const write of writes) this.#waiting.push({ write, batch });
      this.#start();
    });
  }

  #start(): void {
    const { destination, limit, fail, signal } = this.#options;
    while (this.#running < limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const { write, batch } = next;
      if (signal.aborted) {
        end(batch, { error: signal.reason });
        continue;
      }
      this.#running += 1;
      const ended = (failure?: { readonly error: unknown }): void => {
        this.#running -= 1;
        end(batch, failure);
        this.#start();
      };
      destination.write(write.bytes, write.offset).then(
        () => ended(),
        (error: unknown) => {
          fail(error);
          ended({ error });
        },
      );
    }
  }
}

function end(batch: Batch, failure: Batch['failure']): void {
  batch.left -= 1;
  batch.failure ??= failure;
  if (batch.left === 0) batch.settle(batch.failure);
}
