// The layers' tables, as qemu reads them: one after another, tip to base, at every step of the guest. Fetched ahead of it in
// parallel, kept without their zeros in a cache that is bounded in bytes.
import { runBounded } from '../../concurrency.ts';
import type { ExportData } from '../../nbd/export.ts';
import type { TableSlice } from '../../qcow2/table-index.ts';
import { MiB } from '../../units.ts';
import type { Begun } from './data-reader.ts';
import type { RemoteLayer } from './remote-layer.ts';
import { ONE_READ, type Roots, readRoots } from './roots.ts';
import type { Slots } from './slots.ts';
import { BLOCK_SIZE, SparseBlock } from './sparse-block.ts';
import { MAX_BATCH, TableBatch } from './table-batch.ts';
import { waitFor } from './wait-for.ts';

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
/** Fetched ahead at a time: a row of 64 layers of KubeVirt's clusters, or 2 GiB of guest with clusters of 4 KiB. */
const AHEAD_BYTES = 4 * MiB;
const AHEAD_TABLES = 512;
/** Small reads at a time while the layers are opened: they are latency, not bandwidth. */
const OPENING = 16;

interface Block {
  readonly slice: TableSlice;
  readonly batch: TableBatch;
  /** Undefined until it was fetched. */
  bytes: SparseBlock | undefined;
  /** Set on one block of what was fetched ahead: when that is read, it is time for more. */
  onRead: (() => void) | undefined;
}

export class Metadata {
  readonly #options: MetadataOptions;
  readonly #roots: Roots[] = [];
  /** In the order of use, oldest first. */
  readonly #blocks = new Map<number, Block>();
  readonly #queue: TableBatch[] = [];
  readonly #running = new Set<Promise<void>>();
  /** For batches on their way; new ones for each would be garbage faster than it is collected. */
  readonly #buffers: Buffer[] = [];
  /** The same for tables that are being shown. */
  readonly #pages: Uint8Array[] = [];
  readonly #leaveSlots: () => void;
  #cost = 0;

  private constructor(options: MetadataOptions) {
    this.#options = options;
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

  /** Guest bytes that a slice of the layer's L2 tables maps: a power of two. */
  spanOf({ index }: RemoteLayer): number {
    return this.#rootsOf(index).tables.guestSpan;
  }

  /** The first guest offset at or behind `guest` that some layer may map; Infinity when none does. */
  nextMapped(guest: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { tables } of this.#roots) {
      const rank = tables.rankAt(guest);
      if (rank < tables.l2Count) next = Math.min(next, Math.max(guest, tables.guestOf(rank)));
    }
    return next;
  }

  /** The slice of the layer's L2 tables that maps the byte at `guest`, and where it begins; undefined when there is none. */
  l2Slice(
    layer: RemoteLayer,
    guest: number,
    signal: AbortSignal,
  ): { readonly guest: number; readonly bytes: SparseBlock | Promise<SparseBlock> } | undefined {
    const { tables } = this.#rootsOf(layer.index);
    const rank = tables.rankAt(guest);
    const start = tables.guestOf(rank);
    if (start > guest) return undefined;
    const slice = tables.at(rank);
    return slice.end <= slice.start ? undefined : { guest: start, bytes: this.#read(layer, slice, 'chain', signal) };
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
    const block = this.#touch(layer, slice, order);
    const { onRead } = block;
    block.onRead = undefined;
    onRead?.();
    return block.bytes ?? this.#wait(block, signal);
  }

  async #wait(block: Block, signal: AbortSignal): Promise<SparseBlock> {
    await waitFor(block.batch.start(), signal);
    if (block.bytes === undefined) throw new TypeError('a table was fetched, but is not there');
    return block.bytes;
  }

  #touch(layer: RemoteLayer, slice: TableSlice, order: TableOrder): Block {
    const key = keyOf(layer, slice);
    const known = this.#blocks.get(key);
    if (known !== undefined) {
      this.#blocks.delete(key);
      this.#blocks.set(key, known);
      return known;
    }
    if (order === 'layer') this.#fetchLayerFrom(layer, slice.rank);
    else this.#fetchChainFrom(this.#rootsOf(layer.index).tables.guestOf(slice.rank));
    const planned = this.#blocks.get(key);
    if (planned !== undefined) return planned;
    this.#plan([{ layer, slice }], undefined);
    const own = this.#blocks.get(key);
    if (own === undefined) throw new TypeError('a table was planned, but is not there');
    return own;
  }

  #fetchLayerFrom(layer: RemoteLayer, from: number): void {
    const { tables } = this.#rootsOf(layer.index);
    const wanted = new Wanted(this.#blocks);
    let rank = from;
    while (rank < tables.count && !wanted.enough) wanted.add(layer, tables.at(rank++));
    this.#plan(wanted.places, rank < tables.count ? () => this.#fetchLayerFrom(layer, rank) : undefined);
  }

  /** Rows of the guest from `from` on, each tip to base, since that is how qemu goes through them. */
  #fetchChainFrom(from: number): void {
    const { layers } = this.#options;
    const tipFirst = layers.toReversed().map((layer) => {
      const { tables } = this.#rootsOf(layer.index);
      return { layer, tables, rank: tables.rankAt(from) };
    });
    const wanted = new Wanted(this.#blocks);
    let next = from;
    while (!wanted.enough) {
      const row = Math.min(...tipFirst.map(({ tables, rank }) => tables.guestOf(rank)));
      if (row === Number.POSITIVE_INFINITY) {
        this.#plan(wanted.places, undefined);
        return;
      }
      for (const cursor of tipFirst) {
        if (cursor.tables.guestOf(cursor.rank) <= row) wanted.add(cursor.layer, cursor.tables.at(cursor.rank++));
      }
      next = row + 1;
    }
    this.#plan(wanted.places, () => this.#fetchChainFrom(next));
  }

  /** Queues what is not there; `more` is called when a reader has come half through it. */
  #plan(places: readonly Place[], more: (() => void) | undefined): void {
    for (const batch of TableBatch.join(places, (batch) => this.#fetch(batch))) {
      for (const slice of batch.slices) {
        this.#blocks.set(keyOf(batch.layer, slice), { slice, batch, bytes: undefined, onRead: undefined });
      }
      this.#queue.push(batch);
    }
    const middle = places[Math.floor(places.length / 2)];
    const block = middle && this.#blocks.get(keyOf(middle.layer, middle.slice));
    if (block !== undefined) block.onRead = more;
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
        for (const slice of slices) this.#keep(layer, slice, bytes.subarray(slice.start - first, slice.end - first));
      } catch (error) {
        // Whoever asks again may have more luck: a served disk outlives an outage.
        for (const slice of slices) this.#blocks.delete(keyOf(layer, slice));
        throw error;
      } finally {
        this.#buffers.push(buffer);
      }
    });
    const done = fetching.finally(() => this.#running.delete(done));
    this.#running.add(done);
    return done;
  }

  #keep(layer: RemoteLayer, slice: TableSlice, bytes: Uint8Array): void {
    const block = this.#blocks.get(keyOf(layer, slice));
    if (block === undefined) return;
    block.bytes = new SparseBlock(bytes);
    this.#cost += block.bytes.cost;
    this.#letOldGo();
  }

  #letOldGo(): void {
    const { cacheBytes = CACHE_BYTES } = this.#options;
    if (this.#cost <= cacheBytes) return;
    for (const [key, { bytes }] of this.#blocks) {
      if (bytes === undefined) continue;
      this.#blocks.delete(key);
      this.#cost -= bytes.cost;
      if (this.#cost <= cacheBytes) return;
    }
  }

  /** The read of the roots brought the first tables too. */
  #keepFetched(layer: RemoteLayer, fetched: Uint8Array): void {
    const { tables } = this.#rootsOf(layer.index);
    for (let at = 0; at < fetched.length; ) {
      const slice = tables.find(at);
      at = slice?.end ?? at + tables.sliceSize;
      if (slice === undefined || slice.end > fetched.length) continue;
      const batch = TableBatch.fetched(layer, slice);
      this.#blocks.set(keyOf(layer, slice), { slice, batch, bytes: undefined, onRead: undefined });
      this.#keep(layer, slice, fetched.subarray(slice.start, slice.end));
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

interface Place {
  readonly layer: RemoteLayer;
  readonly slice: TableSlice;
}

/** Tables to fetch that are not there yet, up to a bound. */
class Wanted {
  readonly places: Place[] = [];
  readonly #there: ReadonlyMap<number, unknown>;
  #bytes = 0;

  constructor(there: ReadonlyMap<number, unknown>) {
    this.#there = there;
  }

  get enough(): boolean {
    return this.#bytes >= AHEAD_BYTES || this.places.length >= AHEAD_TABLES;
  }

  add(layer: RemoteLayer, slice: TableSlice): void {
    if (slice.end <= slice.start || this.#there.has(keyOf(layer, slice))) return;
    this.places.push({ layer, slice });
    this.#bytes += slice.end - slice.start;
  }
}

/** Offsets are below 2^53 and tables aligned to 512 bytes. */
function keyOf({ index }: RemoteLayer, { start }: TableSlice): number {
  return index * 2 ** 40 + start / 512;
}
