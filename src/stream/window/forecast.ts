// Which bytes of which layer a reader of the guest will ask for, in guest order, read from the very tables that qemu reads.
//
// Why not `qemu-img map`, which knows for certain: it costs a second process that walks all layers for every cluster (of 200
// layers as long as the convert itself), and two microseconds of JSON a run on our side; and it does not tell where compressed
// clusters lie. A forecast need not be certain: what it gets wrong, qemu asks for all the same.
import { ChunkMap } from '../../qcow2/chunk-map.ts';
import { subclusterSize } from '../../qcow2/tables.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { Metadata } from '../tables/metadata.ts';
import { SECTOR } from '../tables/sparse-block.ts';

/** Bytes of a layer that the guest shows. */
export interface VisibleRange {
  readonly layer: RemoteLayer;
  /** In the layer's object. */
  readonly offset: number;
  readonly length: number;
}

export interface ForecastOptions {
  /** Base first. */
  readonly layers: readonly RemoteLayer[];
  readonly metadata: Metadata;
  /** Guest bytes that will be read. */
  readonly range: { readonly offset: number; readonly length: number };
  readonly signal: AbortSignal;
}

/** Rejects as `ObjectStore.read`. */
export async function* forecast(options: ForecastOptions): AsyncGenerator<VisibleRange, void, undefined> {
  const { layers, metadata, range } = options;
  const size = Math.min(...layers.map((layer) => metadata.spanOf(layer)));
  const chunk = new ChunkMap({
    size,
    granule: Math.min(...layers.map(({ header }) => subclusterSize(formatOf(header)))),
  });
  const end = range.offset + range.length;
  for (let guest = metadata.nextMapped(range.offset - (range.offset % size)); guest < end; ) {
    guest -= guest % size;
    await layOver(options, chunk, { guest, size });
    for (const run of chunk.runs()) {
      const visible = clip(layers[run.layer], { ...run, guest: guest + run.start }, range);
      if (visible !== undefined) yield visible;
    }
    chunk.clear();
    guest = metadata.nextMapped(guest + size);
  }
}

/** All layers' entries for [guest, guest + size), as far down as anything shows. */
async function layOver(
  { layers, metadata, signal }: ForecastOptions,
  chunk: ChunkMap,
  { guest, size }: { readonly guest: number; readonly size: number },
): Promise<void> {
  for (const layer of layers.toReversed()) {
    const { header, index } = layer;
    if (header.virtualSize < guest + size) chunk.end(Math.max(0, header.virtualSize - guest));
    if (chunk.complete) return;
    const format = formatOf(header);
    const entrySize = format.extendedL2 ? 16 : 8;
    const found = metadata.l2Slice(layer, guest, signal);
    if (found === undefined) continue;
    const bytes = await found.bytes;
    for (const [from, sector] of bytes.filled()) {
      const start = found.guest + (from / entrySize) * header.clusterSize;
      const ends = start + (SECTOR / entrySize) * header.clusterSize;
      if (ends > guest && start < guest + size) chunk.overlay(index, sector, start - guest, format);
    }
  }
}

/** What of a run lies in the range and in the file. (Compressed data at the range's edge is cut too short: so be it.) */
function clip(
  layer: RemoteLayer | undefined,
  run: { readonly offset: number; readonly length: number; readonly guest: number },
  range: ForecastOptions['range'],
): VisibleRange | undefined {
  if (layer === undefined) return undefined;
  const before = Math.max(0, range.offset - run.guest);
  const behind = Math.max(0, run.guest + run.length - range.offset - range.length);
  const length = Math.min(run.length - before - behind, layer.size - run.offset - before);
  return length <= 0 ? undefined : { layer, offset: run.offset + before, length };
}

function formatOf({ clusterBits, features }: RemoteLayer['header']): { clusterBits: number; extendedL2: boolean } {
  return { clusterBits, extendedL2: features.extendedL2 };
}
