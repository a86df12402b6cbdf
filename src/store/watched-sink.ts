// A read's sink over all its attempts: where the read stands, that no byte more is taken than was asked for, and that
// an attempt's watch rests while the sink is busy.
import { DatamoverError } from '../errors.ts';
import type { Attempt } from './attempt.ts';
import type { Sink } from './store.ts';

export class WatchedSink implements Sink {
  readonly #sink: Sink;
  readonly #where: string;
  readonly #end: number;
  #position: number;
  #attempt: Attempt | undefined;

  /** `where` is what is read, for messages. */
  constructor(sink: Sink, { offset, length }: { readonly offset: number; readonly length: number }, where: string) {
    this.#sink = sink;
    this.#where = where;
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

  /** Another attempt goes on where the one before ended. */
  watch(attempt: Attempt): void {
    this.#attempt = attempt;
  }

  room(): Uint8Array {
    // Final: the bytes before are handed on already, and an answer that is too long cannot be believed in parts.
    if (this.left === 0) {
      throw new DatamoverError('SOURCE_UNREACHABLE', `${this.#where}: more bytes came than were asked for`, {
        hint: 'something between here and the source spoils its answers (a proxy?); try again without it',
      });
    }
    const room = this.#sink.room();
    return room.length > this.left ? room.subarray(0, this.left) : room;
  }

  filled(count: number): void | Promise<void> {
    this.#position += count;
    const attempt = this.#attempt;
    attempt?.progress();
    const busy = this.#sink.filled(count);
    if (busy === undefined || attempt === undefined) return busy;
    attempt.pause();
    return busy.finally(() => attempt.resume());
  }
}
