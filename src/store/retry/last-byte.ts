// For an answer that does not say its length: its last byte is kept back until it has ended, so that one that is too long is
// not taken for the range that was asked for.

import type { Sink } from '../store.ts';
import { TransientError } from './policy.ts';
import type { WatchedSink } from './watched-sink.ts';

export class HoldbackSink implements Sink {
  readonly #sink: WatchedSink;
  readonly #last = new Uint8Array(1);
  #has = false;

  constructor(sink: WatchedSink) {
    this.#sink = sink;
  }

  room(): Uint8Array {
    if (this.#has) throw new TransientError('more bytes received than requested', { fewRetries: true });
    const { left } = this.#sink;
    if (left === 1) return this.#last;
    const room = this.#sink.room();
    return room.length < left ? room : room.subarray(0, left - 1);
  }

  filled(count: number): void | Promise<void> {
    if (this.#sink.left > 1) return this.#sink.filled(count);
    this.#has = true;
  }

  /** The answer has ended: hands on what was kept back. */
  async release(): Promise<void> {
    if (!this.#has) return;
    this.#sink.room().set(this.#last);
    await this.#sink.filled(1);
  }
}
