// Which bytes of which layer a reader of the guest will ask for, in guest order: asked of qemu-img itself, run by run. The
// child is held back by its pipe while nobody takes its runs, so a map of any length costs no memory.
import { decodeL2Entry, l2EntriesPerTable } from '../../qcow2/tables.ts';
import type { BlockGraph } from '../../qemu/graph.ts';
import { mapImage } from '../../qemu/map.ts';
import type { Metadata } from './metadata.ts';
import type { RemoteLayer } from './remote-layer.ts';

/** Bytes of a layer that the guest shows. */
export interface VisibleRange {
  readonly layer: RemoteLayer;
  /** In the layer's object. */
  readonly offset: number;
  readonly length: number;
  /** The first guest byte that needs them. */
  readonly guest: number;
}

export interface ForecastOptions {
  readonly node: BlockGraph;
  /** Base first. */
  readonly layers: readonly RemoteLayer[];
  readonly metadata: Metadata;
  /** Guest bytes that will be read. */
  readonly range: { readonly offset: number; readonly length: number };
  readonly signal: AbortSignal;
}

/** Rejects as `mapImage`. Leaving the loop early ends the child. */
export async function* forecast(options: ForecastOptions): AsyncGenerator<VisibleRange, void, undefined> {
  const { node, layers, range, signal } = options;
  if (range.length === 0) return;
  for await (const run of mapImage({ source: node, startOffset: range.offset, maxLength: range.length, signal })) {
    if (!run.data || run.zero) continue;
    const layer = layers[layers.length - 1 - run.depth];
    if (layer === undefined) continue;
    if (run.offset === undefined) yield* compressedRanges(options, layer, run);
    else yield { layer, offset: run.offset, length: run.length, guest: run.start };
  }
}

/** qemu-img does not tell where compressed clusters lie; their L2 entries do. */
async function* compressedRanges(
  { metadata, signal }: ForecastOptions,
  layer: RemoteLayer,
  run: { readonly start: number; readonly length: number },
): AsyncGenerator<VisibleRange, void, undefined> {
  const { clusterBits, clusterSize, features } = layer.header;
  const format = { clusterBits, extendedL2: features.extendedL2 };
  const entries = l2EntriesPerTable(format);
  const entrySize = clusterSize / entries;
  const end = run.start + run.length;
  for (let cluster = Math.floor(run.start / clusterSize); cluster * clusterSize < end; ) {
    const index = cluster % entries;
    const table = await metadata.l2Entries(layer, Math.floor(cluster / entries), index * entrySize, signal);
    if (table === undefined) return;
    for (let at = 0; at + entrySize <= table.length && cluster * clusterSize < end; at += entrySize, cluster += 1) {
      const entry = decodeL2Entry(table, at / entrySize, format);
      if (entry.kind !== 'compressed' || entry.offset >= layer.size) continue;
      const length = Math.min(entry.length, layer.size - entry.offset);
      yield { layer, offset: entry.offset, length, guest: Math.max(run.start, cluster * clusterSize) };
    }
  }
}
