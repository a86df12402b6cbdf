// A piece of a layer on its way: planned, fetched into the arena, read, and gone when nobody needs it any more.

import { abortable } from '../../concurrency.ts';
import type { ExportData } from '../../nbd/export.ts';
import type { Memory } from './arena.ts';
import type { RemoteLayer } from './remote-layer.ts';

interface Waiter {
  /** How many bytes of the piece must be there. */
  readonly filled: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class Piece {
  readonly range: PieceRange;
  #memory: Memory | undefined;
  #filled = 0;
  #waiters: Waiter[] = [];
  #failure: { readonly error: unknown } | undefined;
  #readers = 0;
  #unread: number;
  #fetching = false;
  #dropped = false;
  readonly #onFreed: () => void;

  /** `onFreed` is told when its memory is free again. */
  constructor(range: PieceRange, onFreed: () => void) {
    this.range = range;
    this.#unread = range.visible;
    this.#onFreed = onFreed;
  }

  get length(): number {
    return this.range.end - this.range.start;
  }

  /** Memory was given to it: it is being fetched, or there. */
  get begun(): boolean {
    return this.#memory !== undefined;
  }

  /** Every byte that the guest shows of it was asked for. */
  get spent(): boolean {
    return this.#unread <= 0;
  }

  /** A byte of it was asked for. */
  get used(): boolean {
    return this.#unread < this.range.visible;
  }

  /** Nobody reads it now, and nothing comes in any more. */
  get idle(): boolean {
    return this.#readers === 0 && !this.#fetching;
  }

  /** Counts `count` bytes as read, wherever they were read from. */
  spend(count: number): void {
    this.#unread -= count;
  }

  /** Fetches it into `memory`. Rejects as `ObjectStore.read`; so do those who wait for it. */
  async fetch(memory: Memory, signal: AbortSignal): Promise<void> {
    const { layer, start } = this.range;
    this.#memory = memory;
    this.#fetching = true;
    try {
      await layer.fetch(start, this.length, { room: () => memory.room(this.#filled), filled: this.#onFilled }, signal);
    } catch (error) {
      this.#failure = { error };
      for (const { reject } of this.#waiters.splice(0)) reject(error);
      throw error;
    } finally {
      this.#fetching = false;
      this.#freeIfDropped();
    }
  }

  /** The bytes [offset, end) of its layer, as soon as they are there; it must have begun. */
  read(offset: number, end: number, signal: AbortSignal): ExportData | Promise<ExportData> {
    this.#readers += 1;
    const [from, to] = [offset - this.range.start, end - this.range.start];
    if (this.#filled >= to) return this.#share(from, to);
    return this.#waitAndShare(from, to, signal);
  }

  /** Gives its memory back as soon as nobody reads it. */
  drop(): void {
    this.#dropped = true;
    this.#freeIfDropped();
  }

  readonly #onFilled = (count: number): void => {
    this.#filled += count;
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters;
    this.#waiters = waiting.filter(({ filled }) => filled > this.#filled);
    for (const { filled, resolve } of waiting) if (filled <= this.#filled) resolve();
  };

  async #waitAndShare(from: number, to: number, signal: AbortSignal): Promise<ExportData> {
    try {
      await abortable(this.#until(to), signal);
    } catch (error) {
      this.#leave();
      throw error;
    }
    return this.#share(from, to);
  }

  #until(filled: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ filled, resolve, reject });
    });
  }

  #share(from: number, to: number): ExportData {
    return { chunks: this.#memory?.slice(from, to) ?? [], release: () => this.#leave() };
  }

  #leave(): void {
    this.#readers -= 1;
    this.#freeIfDropped();
  }

  #freeIfDropped(): void {
    if (!this.#dropped || !this.idle || this.#memory === undefined) return;
    this.#memory.free();
    this.#memory = undefined;
    this.#onFreed();
  }
}

export interface PieceRange {
  readonly layer: RemoteLayer;
  /** In the layer's object. */
  readonly start: number;
  readonly end: number;
  /** Bytes of it that the guest shows. */
  readonly visible: number;
  /** Where its first and last range stand in the forecast. */
  readonly first: number;
  readonly last: number;
}
