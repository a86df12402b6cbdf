// The window: pieces of the layers, fetched in the order of the forecast into a bounded arena, while qemu reads what came
// before. Whatever the forecast got wrong is fetched when it is asked for.
import { KiB, MiB } from '../../units.ts';
import type { Arena, Memory } from '../fetch/arena.ts';
import { type Begun, type DataReader, directReader } from '../fetch/data-reader.ts';
import { Piece, type PieceRange } from '../fetch/piece.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { Slots } from '../fetch/slots.ts';
import { FetchPlan, type FetchPlanOptions } from './fetch-plan.ts';
import { type ForecastOptions, forecast } from './forecast.ts';
import { PieceIndex } from './piece-index.ts';

export interface WindowOptions extends Omit<ForecastOptions, 'signal'> {
  readonly arena: Arena;
  readonly slots: Slots;
  /** Aborted when the readers end early. */
  readonly signal: AbortSignal;
  /** Forecast or source failed for good; readers may learn it too. */
  readonly onError: (error: unknown) => void;
}

/** One request's worth: with 16 at a time, two thirds of the default window are under way, one third waits to be read. */
const MAX_PIECE = 4 * MiB;
const MIN_PIECE = 256 * KiB;

/** How many whole pieces a window holds at least. */
const MIN_PIECES = 24;

/**
 * The forecast goes as far ahead of the readers as the window is large, so that all that is foreseen fits, but not over so many
 * ranges (of some 100 bytes each).
 */
const AHEAD_RANGES = 128 * 1024;

/** Of the window: pieces are cut when the forecast is so far past their first range. */
const RIPE = 1 / 2;

/** Of the window: what lies so far behind the readers is not waited for any more. (qemu-img reads up to 9 MiB out of order.) */
const LEFT_BEHIND = 1 / 2;

const LOOK_BACK_EVERY = 4 * MiB;

export class Window implements DataReader {
  readonly #options: WindowOptions;
  readonly #plan: FetchPlan;
  readonly #pieces: PieceIndex;
  /** Not begun yet, in the order of their first need. */
  readonly #queue: Piece[] = [];
  readonly #running = new Map<Piece, Promise<void>>();
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #leaveSlots: () => void;
  readonly #primed = Promise.withResolvers<void>();
  readonly #foreseen: Promise<void>;
  #goOn: (() => void) | undefined;
  #pumping = false;
  /** The place in the forecast that the readers have come to. */
  #position = 0;
  /** Where it was when pieces left behind were last looked for. */
  #lookedBackAt = 0;
  #missed = 0;

  constructor(options: WindowOptions) {
    this.#options = options;
    this.#plan = new FetchPlan(planFor(options.arena.size));
    this.#pieces = new PieceIndex((layer, offset) => this.#plan.keyOf(layer, offset));
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
    this.#leaveSlots = options.slots.whenFree(() => this.#pump());
    this.#foreseen = this.#foresee();
  }

  /** Resolves when the forecast is as far ahead as it goes: what readers ask for first is on its way then. */
  primed(): Promise<void> {
    return this.#primed.promise;
  }

  /** Bytes that were read without having been foreseen, or without room for them. */
  get missed(): number {
    return this.#missed;
  }

  begin(layer: RemoteLayer, offset: number, end: number, signal: AbortSignal): Begun {
    const piece = this.#pieceAt(layer, offset);
    if (piece === undefined) return this.#miss(layer, offset, this.#pieces.nextStart(layer, offset, end), signal);
    const last = Math.min(end, piece.range.end);
    this.#advance(piece.range.first);
    piece.spend(last - offset);
    if (!piece.begun && !this.#start(piece)) {
      if (piece.spent) this.#forget(piece);
      return this.#miss(layer, offset, last, signal);
    }
    const data = piece.read(offset, last, signal);
    if (piece.spent) this.#forget(piece);
    return { end: last, data };
  }

  /**
   * Resolves when the pieces that were read have been fetched to their end: a source that can tell only then that the object
   * was replaced meanwhile has told it (`onError`). To be awaited when the readers have what they came for.
   */
  async settle(): Promise<void> {
    const used = [...this.#running].filter(([piece]) => piece.used);
    await Promise.all(used.map(([, done]) => done));
  }

  /** Stops all that is under way and gives the memory back; what readers still hold is given back by them. */
  async end(): Promise<void> {
    this.#ending.abort();
    this.#goOn?.();
    this.#leaveSlots();
    await this.#foreseen;
    await Promise.all(this.#running.values());
    for (const piece of [...this.#pieces.all()]) this.#forget(piece);
  }

  async #foresee(): Promise<void> {
    try {
      for await (const visible of forecast({ ...this.#options, signal: this.#signal })) {
        for (const range of this.#plan.split(visible)) {
          this.#plan.add(range);
          this.#pump();
          if (this.#farAhead) await new Promise<void>((resolve) => this.#waitForFetches(resolve));
          if (this.#signal.aborted) return;
        }
      }
      this.#plan.complete();
      this.#pump();
    } catch (error) {
      if (!this.#signal.aborted) this.#options.onError(error);
    } finally {
      this.#primed.resolve();
    }
  }

  get #farAhead(): boolean {
    return this.#plan.total - this.#position >= this.#options.arena.size || this.#plan.waiting >= AHEAD_RANGES;
  }

  #waitForFetches(resolve: () => void): void {
    this.#primed.resolve();
    this.#goOn = resolve;
    this.#pump();
  }

  /** Not while it runs already: what it frees itself would begin the very piece that it is about to begin. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#options.slots.free && !this.#signal.aborted) {
      const piece = this.#nextPiece();
      if (piece === undefined || !this.#start(piece)) break;
    }
    this.#pumping = false;
    if (this.#goOn === undefined || this.#farAhead) return;
    const goOn = this.#goOn;
    this.#goOn = undefined;
    goOn();
  }

  /** The readers have come to a place of the forecast; it may go on then. */
  #advance(place: number): void {
    if (place <= this.#position) return;
    this.#position = Math.min(place, this.#plan.total);
    if (this.#goOn !== undefined) this.#pump();
  }

  /** The piece that the guest needs first, of those that are cut. */
  #nextPiece(): Piece | undefined {
    for (;;) {
      const head = this.#queue[0];
      if (head !== undefined && head.range.first <= this.#plan.nextFirst) return head;
      // What is left waits for the forecast, and is needed later than all that is not.
      const cut = this.#plan.cutNext(this.#plan.waiting >= AHEAD_RANGES);
      if (cut === undefined) return head;
      for (const range of cut) this.#enqueue(range);
    }
  }

  #enqueue(range: PieceRange): void {
    const piece = new Piece(range, () => this.#pump());
    let place = this.#queue.length;
    while (place > 0 && (this.#queue[place - 1]?.range.first ?? 0) > range.first) place -= 1;
    this.#queue.splice(place, 0, piece);
    this.#pieces.add(piece);
  }

  #dequeue(piece: Piece): void {
    const place = this.#queue.indexOf(piece);
    if (place !== -1) this.#queue.splice(place, 1);
  }

  #pieceAt(layer: RemoteLayer, offset: number): Piece | undefined {
    const known = this.#pieces.find(layer, offset);
    if (known !== undefined) return known;
    for (const range of this.#plan.cutAt(layer, offset)) this.#enqueue(range);
    return this.#pieces.find(layer, offset);
  }

  /** Begins to fetch a piece; false when there is no memory for it. */
  #start(piece: Piece): boolean {
    const { arena, slots } = this.#options;
    if (this.#signal.aborted) return false;
    const memory = arena.take(piece.length) ?? this.#takeLeftBehind(piece.length);
    if (memory === undefined) return false;
    this.#dequeue(piece);
    const fetching = slots
      .run(() => piece.fetch(memory, this.#signal))
      .catch((error: unknown) => {
        if (!this.#signal.aborted) this.#options.onError(error);
      });
    this.#running.set(
      piece,
      fetching.finally(() => this.#running.delete(piece)),
    );
    return true;
  }

  /** Memory of pieces that the guest has passed without reading all of them. */
  #takeLeftBehind(length: number): Memory | undefined {
    if (this.#position < this.#lookedBackAt + LOOK_BACK_EVERY) return undefined;
    this.#lookedBackAt = this.#position;
    const behind = this.#position - this.#options.arena.size * LEFT_BEHIND;
    const pumping = this.#pumping;
    this.#pumping = true;
    for (const piece of [...this.#pieces.all()]) {
      if (piece.begun && piece.idle && piece.range.last < behind) this.#forget(piece);
    }
    this.#pumping = pumping;
    return this.#options.arena.take(length);
  }

  #forget(piece: Piece): void {
    this.#dequeue(piece);
    this.#pieces.remove(piece);
    piece.drop();
  }

  #miss(layer: RemoteLayer, offset: number, end: number, signal: AbortSignal): Begun {
    this.#missed += end - offset;
    this.#advance(this.#position + end - offset);
    return directReader.begin(layer, offset, end, signal);
  }
}

/** Small windows get small pieces, so that those on their way leave room for those that wait to be read. */
export function planFor(window: number): FetchPlanOptions {
  let pieceSize = MAX_PIECE;
  while (pieceSize > MIN_PIECE && pieceSize * MIN_PIECES > window) pieceSize /= 2;
  return { pieceSize, ripeAfter: window * RIPE };
}
