// One request's answer as its bytes come: the head is judged, then the body goes into the receiver's sink. No socket here.
import { TransientError } from '../retry/policy.ts';
import type { Sink } from '../store.ts';
import { BodyBeginning } from './body-beginning.ts';
import { ChunkedDecoder } from './chunked.ts';
import { type Framing, MAX_HEAD, parseResponseHead, type ResponseHead } from './message.ts';

/** Bytes read at once when they do not go straight into a sink: heads, chunked bodies, tails, what comes during a pause. */
export const BUFFER_SIZE = 64 * 1024;

/** Bytes read at once for a head: what comes with it has to be copied. */
export const HEAD_SIZE = 8 * 1024;

/** The end of a body is read with a little room behind it: what comes after it would go unseen otherwise. It has to be copied. */
const TAIL = 4 * 1024;

/** The server closed a connection that nothing had been answered on. */
export class ClosedEarly extends TransientError {}

/** Who asked. */
export interface Receiver {
  /** Judges the head: throws to refuse the answer; gives the body's sink, or undefined to have a little of it collected. */
  onHead(head: Pick<ResponseHead, 'status' | 'headers'>): Sink | undefined;
}

export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What was collected: at most 64 KiB; empty when the body went into a sink. */
  readonly body: Uint8Array;
}

/** What an exchange does to its connection. */
export interface ExchangeControl {
  /** No more bytes, until `resume`. Some may come nonetheless: TLS hands on what it has decrypted. */
  pause(): void;
  resume(): void;
  finished(answer: Answer, options: { readonly reusable: boolean }): void;
  failed(error: unknown): void;
}

export class Exchange {
  readonly #receiver: Receiver;
  readonly #control: ExchangeControl;
  #partialHead: Uint8Array = new Uint8Array(0);
  #head: ResponseHead | undefined;
  #sink: Sink = { room: () => new Uint8Array(1), filled: () => {} };
  #collected: BodyBeginning | undefined;
  #chunks: ChunkedDecoder | undefined;
  /** Bytes of the body still to come, where its length is known. */
  #left = 0;
  /** Data that waits for the sink. */
  #queue: Uint8Array[] = [];
  #busy = false;
  #complete = false;
  #surplus = false;
  #settled = false;

  constructor(receiver: Receiver, control: ExchangeControl) {
    this.#receiver = receiver;
    this.#control = control;
  }

  /** Nothing of the answer came yet. */
  get untouched(): boolean {
    return this.#head === undefined && this.#partialHead.length === 0;
  }

  /** Memory of the sink's own that the next bytes may be read into; undefined when they must come through `take`. */
  directRoom(): Uint8Array | undefined {
    const direct = this.#head?.framing.kind === 'length' && this.#collected === undefined;
    const most = this.#left - TAIL;
    if (!direct || most <= 0 || this.#busy || this.#settled || this.#queue.length > 0) return undefined;
    try {
      const room = this.#sink.room();
      return room.length > most ? room.subarray(0, most) : room;
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  /** `count` bytes were read into the last `directRoom`. */
  tookDirectly(count: number): void {
    if (this.#settled) return;
    this.#left -= count;
    try {
      this.#filled(count);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Takes bytes that are the caller's again when this returns. */
  take(bytes: Uint8Array): void {
    if (this.#settled) return;
    try {
      const rest = this.#head === undefined ? this.#takeHead(bytes) : bytes;
      if (rest !== undefined) this.#takeBody(rest);
      this.#drain();
    } catch (error) {
      this.#fail(error);
    }
    this.#finishIfDone();
  }

  /** The connection ended, with an error or without one. */
  ended(error?: unknown): void {
    if (this.#settled || this.#complete) return;
    // Of an error the status is enough: some servers reset the connection right after it.
    const known = this.#collected !== undefined && (this.#head?.status ?? 0) >= 300;
    if (known || (error === undefined && this.#head?.framing.kind === 'close')) {
      this.#surplus = true;
      this.#complete = true;
      this.#finishIfDone();
      return;
    }
    const closed = 'the server closed the connection';
    const early = this.#head === undefined;
    this.#fail(
      error ??
        (early
          ? new ClosedEarly(`${closed} before it answered`)
          : new TransientError(`${closed} in the middle of a body`)),
    );
  }

  /** Ends it at once, also while the sink is busy with the last bytes. */
  cancel(reason: unknown): void {
    this.#fail(reason);
  }

  #takeHead(bytes: Uint8Array): Uint8Array | undefined {
    let all = this.#partialHead.length === 0 ? bytes : Buffer.concat([this.#partialHead, bytes]);
    let head = parseResponseHead(all);
    while (head !== undefined && head.status < 200) {
      all = all.subarray(head.length);
      head = all.length === 0 ? undefined : parseResponseHead(all);
    }
    if (head === undefined) {
      this.#partialHead = Uint8Array.from(all.subarray(0, MAX_HEAD));
      return undefined;
    }
    this.#head = head;
    this.#prepareBody(head.framing);
    return all.subarray(head.length);
  }

  #prepareBody(framing: Framing): void {
    if (this.#head === undefined) return;
    const sink = this.#receiver.onHead(this.#head);
    if (sink === undefined) this.#collected = new BodyBeginning();
    this.#sink = sink ?? this.#collected ?? this.#sink;
    if (framing.kind === 'chunked') this.#chunks = new ChunkedDecoder();
    if (framing.kind !== 'length') return;
    this.#left = framing.length;
    this.#complete = framing.length === 0;
  }

  #takeBody(bytes: Uint8Array): void {
    if (this.#complete) {
      this.#surplus ||= bytes.length > 0;
    } else if (this.#chunks !== undefined) {
      const { data, used } = this.#chunks.take(bytes);
      this.#queue.push(...data);
      this.#complete = this.#chunks.done;
      this.#surplus = used < bytes.length;
    } else if (this.#head?.framing.kind === 'length') {
      const own = bytes.subarray(0, this.#left);
      this.#left -= own.length;
      if (own.length > 0) this.#queue.push(own);
      this.#complete = this.#left === 0;
      this.#surplus = own.length < bytes.length;
    } else if (bytes.length > 0) {
      this.#queue.push(bytes);
    }
  }

  /** Copies what waits into the sink, until that is busy; what is left then must outlive the caller's buffer. */
  #drain(): void {
    while (!this.#busy && !this.#settled) {
      const piece = this.#queue.shift();
      if (piece === undefined) return;
      if (this.#collected?.full === true) {
        this.#queue = [];
        this.#complete = true;
        this.#surplus = true;
        return;
      }
      const room = this.#sink.room();
      const count = Math.min(room.length, piece.length);
      room.set(piece.subarray(0, count));
      if (count < piece.length) this.#queue.unshift(piece.subarray(count));
      this.#filled(count);
    }
    this.#queue = this.#queue.map((piece) => Uint8Array.from(piece));
  }

  #filled(count: number): void {
    const busy = this.#sink.filled(count);
    if (busy === undefined) return;
    this.#busy = true;
    this.#control.pause();
    busy.then(this.#onRested, this.#fail);
  }

  readonly #onRested = (): void => {
    if (this.#settled) return;
    this.#busy = false;
    try {
      this.#drain();
    } catch (error) {
      this.#fail(error);
    }
    // Before it is handed back: a connection that is kept must not stay paused.
    if (!this.#busy && !this.#settled) this.#control.resume();
    this.#finishIfDone();
  };

  #finishIfDone(): void {
    if (!this.#complete || this.#busy || this.#queue.length > 0 || this.#settled || this.#head === undefined) return;
    this.#settled = true;
    const { status, reason, headers, keepAlive } = this.#head;
    const body = this.#collected?.bytes ?? new Uint8Array(0);
    this.#control.finished({ status, reason, headers, body }, { reusable: keepAlive && !this.#surplus });
  }

  readonly #fail = (error: unknown): void => {
    if (this.#settled) return;
    this.#settled = true;
    this.#control.failed(error);
  };
}
