// The layers' tables, as qemu reads them: one after another, tip to base, at every step of the guest. Fetched ahead of it in
// parallel, kept without their zeros in a cache that is bounded in bytes.
import { abortable, runBounded } from '../../concurrency.ts';
import type { ExportData } from '../../nbd/export.ts';
import type { TableSlice } from '../../qcow2/table-index.ts';
import { MiB } from '../../units.ts';
import type { Begun } from '../fetch/data-reader.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { Slots } from '../fetch/slots.ts';
import { MAX_BATCH, TableBatch, type TablePlace } from './batch.ts';
import { type CachedTable, TableCache } from './cache.ts';
import { type Ahead, aheadInChain, aheadInLayer } from './read-ahead.ts';
import { ONE_READ, type Roots, readRoots } from './roots.ts';
import { BLOCK_SIZE, SparseBlock } from './sparse-block.ts';

/**
 * Whose tables are read next: those of all layers in guest order, when the chain is read, or those of one layer, when that is
 * examined alone.
 */
export type TableOrder = 'chain' | 'layer';

export interface MetadataOptions {
  readonly layers: readonly RemoteLayer[];
  readonly slots: Slots;
  /** Aborted when everything ends; a table that is fetched ahead belongs to no reader. */
  readonly signal: AbortSignal;
  /** Bytes of memory for tables; `CACHE_BYTES` by default. */
  readonly cacheBytes?: number;
  /** What was fetched ahead cannot be had: readers learn it too, but there may be none yet. */
  readonly onError: (error: unknown) => void;
}

const CACHE_BYTES = 32 * MiB;
/** Small reads at a time while the layers are opened: they are latency, not bandwidth. */
const OPENING = 16;

export class Metadata {
  readonly #options: MetadataOptions;
  readonly #roots: Roots[] = [];
  readonly #cache: TableCache;
  readonly #queue: TableBatch[] = [];
  readonly #running = new Set<Promise<void>>();
  /** For batches on their way; new ones for each would be garbage faster than it is collected. */
  readonly #buffers: Buffer[] = [];
  /** The same for tables that are being shown. */
  readonly #pages: Uint8Array[] = [];
  readonly #leaveSlots: () => void;

  private constructor(options: MetadataOptions) {
    this.#options = options;
    this.#cache = new TableCache(options.cacheBytes ?? CACHE_BYTES);
    this.#leaveSlots = options.slots.whenFree(() => this.#pump());
  }

  /** Fetches the roots of all layers. Rejects as `ObjectStore.read`. */
  static async open(options: MetadataOptions): Promise<Metadata> {
    const { layers, signal } = options;
    const metadata = new Metadata(options);
    const buffers: Buffer[] = [];
    await runBounded(layers, { limit: OPENING, signal }, async (layer, inner) => {
      const buffer = buffers.pop() ?? Buffer.allocUnsafeSlow(ONE_READ);
      const { roots, fetched } = await readRoots(layer, { buffer, signal: inner });
      metadata.#roots[layer.index] = roots;
      metadata.#keepFetched(layer, fetched);
      buffers.push(buffer);
    });
    return metadata;
  }

  /** The layer's first bytes. */
  headOf({ index }: RemoteLayer): Uint8Array {
    return this.#rootsOf(index).head;
  }

  /** Begins to read table bytes from `offset` on, at most to `end`; undefined where no table of the layer lies. */
  begin(layer: RemoteLayer, { offset, end, order, signal }: BeginOptions): Begun | undefined {
    const roots = this.#rootsOf(layer.index);
    const root = roots.find(offset);
    if (root !== undefined) {
      const last = Math.min(end, root.start + root.bytes.length);
      return { end: last, data: this.#show(root.bytes, offset - root.start, last - root.start) };
    }
    const slice = roots.tables.find(offset);
    if (slice === undefined) return undefined;
    const last = Math.min(end, slice.end);
    const show = (bytes: SparseBlock): ExportData => this.#show(bytes, offset - slice.start, last - slice.start);
    const bytes = this.#read(layer, slice, order, signal);
    return { end: last, data: bytes instanceof SparseBlock ? show(bytes) : bytes.then(show) };
  }

  /** Resolves when nothing of it is under way; its signal must have been aborted. */
  async ended(): Promise<void> {
    this.#leaveSlots();
    await Promise.allSettled(this.#running);
  }

  #show(bytes: SparseBlock, from: number, to: number): ExportData {
    const view = bytes.view(from, to);
    if (view !== undefined) return { chunks: [view] };
    const page = this.#pages.pop() ?? new Uint8Array(BLOCK_SIZE);
    const room = page.subarray(0, to - from);
    bytes.copyTo(room, from);
    return { chunks: [room], release: () => this.#pages.push(page) };
  }

  #read(
    layer: RemoteLayer,
    slice: TableSlice,
    order: TableOrder,
    signal: AbortSignal,
  ): SparseBlock | Promise<SparseBlock> {
    const place = { layer, slice };
    if (!this.#cache.has(layer, slice)) this.#fetchAhead(place, order);
    const table = this.#cache.use(layer, slice);
    if (table === undefined) throw new TypeError('a table was requested, but is not being fetched');
    const { onRead } = table;
    table.onRead = undefined;
    onRead?.();
    return table.bytes ?? this.#wait(table, signal);
  }

  async #wait(table: CachedTable, signal: AbortSignal): Promise<SparseBlock> {
    await abortable(table.batch.start(), signal);
    if (table.bytes === undefined) throw new TypeError('a table was fetched, but not found');
    return table.bytes;
  }

  /** Plans a table and what will be read behind it. */
  #fetchAhead(place: TablePlace, order: TableOrder): void {
    const { layer, slice } = place;
    if (order === 'layer') this.#fetchLayerFrom(layer, slice.rank);
    else this.#fetchChainFrom(this.#rootsOf(layer.index).tables.guestOf(slice.rank));
    // A refcount block is no part of the chain's order.
    if (!this.#cache.has(layer, slice)) this.#plan({ places: [place], next: undefined }, () => {});
  }

  #fetchLayerFrom(layer: RemoteLayer, rank: number): void {
    const { tables } = this.#rootsOf(layer.index);
    this.#plan(aheadInLayer({ layer, tables }, rank, this.#isCached), (next) => this.#fetchLayerFrom(layer, next));
  }

  #fetchChainFrom(guest: number): void {
    const layers = this.#options.layers.map((layer) => ({ layer, tables: this.#rootsOf(layer.index).tables }));
    this.#plan(aheadInChain(layers, guest, this.#isCached), (next) => this.#fetchChainFrom(next));
  }

  readonly #isCached = ({ layer, slice }: TablePlace): boolean => this.#cache.has(layer, slice);

  /** Queues what is not there; `goOn` is called when a reader has come half through it, if more comes behind. */
  #plan({ places, next }: Ahead, goOn: (next: number) => void): void {
    for (const batch of TableBatch.join(places, (batch) => this.#fetch(batch))) {
      this.#cache.expect(batch);
      this.#queue.push(batch);
    }
    const middle = places[Math.floor(places.length / 2)];
    const table = middle && this.#cache.use(middle.layer, middle.slice);
    if (table !== undefined && next !== undefined) table.onRead = () => goOn(next);
    this.#pump();
  }

  #pump(): void {
    while (this.#options.slots.free) {
      const batch = this.#queue.shift();
      if (batch === undefined) return;
      batch.start().catch((error: unknown) => {
        if (!this.#options.signal.aborted) this.#options.onError(error);
      });
    }
  }

  #fetch(batch: TableBatch): Promise<void> {
    const { slots, signal } = this.#options;
    const fetching = slots.run(async () => {
      const { layer, first, end, slices } = batch;
      const buffer = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(MAX_BATCH);
      try {
        const bytes = buffer.subarray(0, end - first);
        await layer.fetchInto(bytes, first, signal);
        for (const slice of slices)
          this.#cache.keep(layer, slice, bytes.subarray(slice.start - first, slice.end - first));
      } catch (error) {
        this.#cache.forget(batch);
        throw error;
      } finally {
        this.#buffers.push(buffer);
      }
    });
    const done = fetching.finally(() => this.#running.delete(done));
    this.#running.add(done);
    return done;
  }

  /** The read of the roots brought the first tables too. */
  #keepFetched(layer: RemoteLayer, fetched: Uint8Array): void {
    const { tables } = this.#rootsOf(layer.index);
    for (let at = 0; at < fetched.length; ) {
      const slice = tables.find(at);
      at = slice?.end ?? at + tables.sliceSize;
      if (slice === undefined || slice.end > fetched.length) continue;
      this.#cache.expect(TableBatch.fetched(layer, slice));
      this.#cache.keep(layer, slice, fetched.subarray(slice.start, slice.end));
    }
  }

  #rootsOf(index: number): Roots {
    const roots = this.#roots[index];
    if (roots === undefined) throw new RangeError(`no layer ${index}`);
    return roots;
  }
}

export interface BeginOptions {
  readonly offset: number;
  readonly end: number;
  readonly order: TableOrder;
  readonly signal: AbortSignal;
}
