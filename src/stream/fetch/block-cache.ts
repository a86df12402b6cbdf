// For readers that nobody can foresee: aligned blocks of the layers, kept as long as there is room, the least recently used
// let go first; whoever reads one block after the other finds the next ones there.

import { abortable, Gate } from '../../concurrency.ts';
import { DatamoverError } from '../../errors.ts';
import { KiB } from '../../units.ts';
import type { Arena, Memory } from './arena.ts';
import { type Begun, type DataReader, directReader } from './data-reader.ts';
import { Piece } from './piece.ts';
import type { RemoteLayer } from './remote-layer.ts';
import type { Slots } from './slots.ts';

export interface BlockCacheOptions {
  readonly arena: Arena;
  readonly slots: Slots;
  /** Aborted when everything ends. */
  readonly signal: AbortSignal;
}

/** Eight clusters of KubeVirt's: a file system's next read is likely to be in it, and it takes 9 ms at 60 MB/s. */
export const BLOCK_SIZE = 512 * KiB;

/** Blocks fetched ahead of a sequential reader: 8 MiB. */
const AHEAD = 16;

/** Fetches at a time, those that readers wait for included: as many as the source keeps connections for. */
const FETCHES = 32;

export class BlockCache implements DataReader {
  readonly #options: BlockCacheOptions;
  /** In the order of use, oldest first. */
  readonly #blocks = new Map<number, Piece>();
  readonly #running = new Set<Promise<void>>();
  /** Of each layer, the block that was read last. */
  readonly #last = new Map<RemoteLayer, number>();
  readonly #gate = new Gate(FETCHES);
  /** What became of layers that were replaced: none of their bytes can be vouched for any more. */
  readonly #changed = new Map<RemoteLayer, DatamoverError>();

  constructor(options: BlockCacheOptions) {
    this.#options = options;
  }

  begin(layer: RemoteLayer, offset: number, end: number, signal: AbortSignal): Begun {
    const index = Math.floor(offset / BLOCK_SIZE);
    const changed = this.#changed.get(layer);
    if (changed !== undefined) return { end, data: Promise.reject(changed) };
    const block = this.#use(layer, index) ?? this.#fetch(layer, index);
    const last = Math.min(end, (index + 1) * BLOCK_SIZE);
    if (block === undefined) return this.#directly(layer, offset, last, signal);
    const data = block.read(offset, last, signal);
    this.#readAhead(layer, index);
    return { end: last, data };
  }

  #directly(layer: RemoteLayer, offset: number, end: number, signal: AbortSignal): Begun {
    const read = this.#gate.run(async () => await directReader.begin(layer, offset, end, signal).data);
    return { end, data: abortable(read, signal) };
  }

  /** Resolves when nothing is under way; the signal must have been aborted. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#running);
    for (const block of this.#blocks.values()) block.drop();
    this.#blocks.clear();
  }

  #readAhead(layer: RemoteLayer, index: number): void {
    const before = this.#last.get(layer);
    this.#last.set(layer, index);
    if (before === undefined || index !== before + 1) return;
    for (let next = index + 1; next <= index + AHEAD && next * BLOCK_SIZE < layer.size; next += 1) {
      if (!this.#options.slots.free) return;
      if (this.#use(layer, next) === undefined && this.#fetch(layer, next) === undefined) return;
    }
  }

  #use(layer: RemoteLayer, index: number): Piece | undefined {
    const key = blockKey(layer, index);
    const block = this.#blocks.get(key);
    if (block === undefined) return undefined;
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    return block;
  }

  /** Undefined when all memory is being read or filled. */
  #fetch(layer: RemoteLayer, index: number): Piece | undefined {
    const start = index * BLOCK_SIZE;
    const end = Math.min(start + BLOCK_SIZE, layer.size);
    const memory = this.#room(end - start);
    if (memory === undefined) return undefined;
    const key = blockKey(layer, index);
    const range = { layer, start, end, visible: Number.POSITIVE_INFINITY, first: 0, last: 0 };
    const block = new Piece(range, () => {});
    this.#blocks.set(key, block);
    const { slots, signal } = this.#options;
    const fetching = this.#gate.run(() => slots.run(() => block.fetch(memory, signal)));
    const done = fetching
      .catch((error: unknown) => {
        // Readers may have had bytes of it already, and wait for no more: the next reader of the layer is told, whatever it reads.
        if (error instanceof DatamoverError && error.code === 'OBJECT_CHANGED') this.#changed.set(layer, error);
        // Those that wait are told. Who asks again may have more luck: the block is fetched anew then.
        if (this.#blocks.get(key) === block) this.#blocks.delete(key);
        block.drop();
      })
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
    return block;
  }

  #room(length: number): Memory | undefined {
    const { arena } = this.#options;
    for (const [key, block] of this.#blocks) {
      if (arena.free >= length) break;
      // One that has not begun holds memory too, but gives none back.
      if (!block.idle || !block.begun) continue;
      this.#blocks.delete(key);
      block.drop();
    }
    return arena.take(length);
  }
}

function blockKey({ index }: RemoteLayer, block: number): number {
  return index * 2 ** 40 + block;
}
