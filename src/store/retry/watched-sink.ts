// A read's sink over all its attempts: where the read stands, that no byte more is taken than was asked for, that an
// attempt's watch rests while the sink is busy, and that no attempt ends before the sink has come to rest.

import { abortable } from '../../concurrency.ts';
import type { Sink } from '../store.ts';
import type { Attempt } from './attempt.ts';

export class WatchedSink implements Sink {
  readonly #sink: Sink;
  readonly #end: number;
  #position: number;
  #attempt: Attempt | undefined;
  #busy: Promise<void> | undefined;

  constructor(sink: Sink, { offset, length }: { readonly offset: number; readonly length: number }) {
    this.#sink = sink;
    this.#position = offset;
    this.#end = offset + length;
  }

  /** The next byte wanted. */
  get position(): number {
    return this.#position;
  }

  /** Bytes still wanted. */
  get left(): number {
    return this.#end - this.#position;
  }

  /**
   * Runs one attempt, which goes on where the one before ended. However it ended, the sink has come to rest then: a connection
   * may fail while the sink still works on what it was given, and the next attempt would ask for that very memory. The
   * sink's own failure is the read's. Only an aborted `signal` is not held up by it.
   */
  async during(attempt: Attempt, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    this.#attempt = attempt;
    try {
      await work();
    } finally {
      const busy = this.#busy;
      if (busy !== undefined) await abortable(busy, signal);
    }
  }

  room(): Uint8Array {
    if (this.left === 0) throw new TypeError('no byte more is wanted');
    const room = this.#sink.room();
    return room.length > this.left ? room.subarray(0, this.left) : room;
  }

  filled(count: number): void | Promise<void> {
    this.#position += count;
    const attempt = this.#attempt;
    attempt?.progress();
    const busy = this.#sink.filled(count);
    this.#busy = busy ?? undefined;
    if (busy === undefined || attempt === undefined) return busy;
    attempt.pause();
    return busy.finally(() => attempt.resume());
  }
}
