// Tables in memory: those that were fetched, kept without their zeros up to a bound, and those that are on their way.
import type { TableSlice } from '../../qcow2/table-index.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { TableBatch } from './batch.ts';
import { SparseBlock } from './sparse-block.ts';

export interface CachedTable {
  /** What brings it, or brought it. */
  readonly batch: TableBatch;
  /** Undefined until it was fetched. */
  bytes: SparseBlock | undefined;
  /** Set on one table of what was fetched ahead: when that is read, it is time for more. */
  onRead: (() => void) | undefined;
}

export class TableCache {
  readonly #limit: number;
  /** In the order of use, oldest first. */
  readonly #tables = new Map<number, CachedTable>();
  #cost = 0;

  /** `limit`: bytes of memory for what was fetched. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  has(layer: RemoteLayer, slice: TableSlice): boolean {
    return this.#tables.has(sliceKey(layer, slice));
  }

  /** The table, which thereby is the one used last. */
  use(layer: RemoteLayer, slice: TableSlice): CachedTable | undefined {
    const key = sliceKey(layer, slice);
    const table = this.#tables.get(key);
    if (table === undefined) return undefined;
    this.#tables.delete(key);
    this.#tables.set(key, table);
    return table;
  }

  /** Notes that `batch` will bring its tables. */
  expect(batch: TableBatch): void {
    for (const slice of batch.slices) {
      const key = sliceKey(batch.layer, slice);
      this.#remove(key);
      this.#tables.set(key, { batch, bytes: undefined, onRead: undefined });
    }
  }

  /** Keeps a copy of an expected table's bytes, and lets old ones go. Those who hold the table have it all the same. */
  keep(layer: RemoteLayer, slice: TableSlice, bytes: Uint8Array): void {
    const table = this.#tables.get(sliceKey(layer, slice));
    if (table === undefined) return;
    // A forged L1 table may name a table twice.
    this.#cost -= table.bytes?.cost ?? 0;
    table.bytes = new SparseBlock(bytes);
    this.#cost += table.bytes.cost;
    this.#evict();
  }

  /** The batch could not be had: who asks again may have more luck. */
  forget(batch: TableBatch): void {
    for (const slice of batch.slices) this.#remove(sliceKey(batch.layer, slice));
  }

  #remove(key: number): void {
    this.#cost -= this.#tables.get(key)?.bytes?.cost ?? 0;
    this.#tables.delete(key);
  }

  #evict(): void {
    if (this.#cost <= this.#limit) return;
    for (const [key, { bytes }] of this.#tables) {
      if (bytes === undefined) continue;
      this.#remove(key);
      if (this.#cost <= this.#limit) return;
    }
  }
}

/** Offsets are below 2^53 and tables aligned to 512 bytes. */
function sliceKey({ index }: RemoteLayer, { start }: TableSlice): number {
  return index * 2 ** 40 + start / 512;
}
