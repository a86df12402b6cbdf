// A layer as an NBD export: its object's bytes, but for a first cluster that may be ours.
import type { Export, ExportData } from '../nbd/export.ts';
import { KiB } from '../units.ts';
import type { Begun, DataReader } from './fetch/data-reader.ts';
import type { RemoteLayer } from './fetch/remote-layer.ts';
import type { Metadata, TableOrder } from './tables/metadata.ts';

export interface LayerExportOptions {
  readonly name: string;
  readonly layer: RemoteLayer;
  readonly metadata: Metadata;
  /** In which order its tables will be read. */
  readonly order: TableOrder;
  /** What shows in place of the first cluster (behind it zeros); undefined for the object's own. */
  readonly head?: Uint8Array;
  /** Who reads all else, asked at every read. */
  readonly reader: () => DataReader;
}

const ZEROS = new Uint8Array(64 * KiB);

export function layerExport({ name, layer, metadata, order, head, reader }: LayerExportOptions): Export {
  const headEnd = head === undefined ? 0 : Math.min(layer.header.clusterSize, layer.size);
  const begin = (offset: number, end: number, signal: AbortSignal): Begun => {
    if (head !== undefined && offset < headEnd) return readHead(head, offset, Math.min(end, headEnd));
    const table = metadata.begin(layer, { offset, end, order, signal });
    return table ?? reader().begin(layer, offset, end, signal);
  };
  return {
    name,
    description: layer.where.slice(0, 1000),
    size: layer.size,
    read: async (offset, length, signal) => {
      signal.throwIfAborted();
      const end = offset + length;
      const first = begin(offset, end, signal);
      if (first.end === end) return await first.data;
      const parts = [first.data];
      for (let at = first.end; at < end; ) {
        const part = begin(at, end, signal);
        parts.push(part.data);
        at = part.end;
      }
      return await join(parts);
    },
  };
}

function readHead(head: Uint8Array, offset: number, end: number): Begun {
  if (offset < head.length) {
    const last = Math.min(end, head.length);
    return { end: last, data: { chunks: [head.subarray(offset, last)] } };
  }
  const last = Math.min(end, offset + ZEROS.length);
  return { end: last, data: { chunks: [ZEROS.subarray(0, last - offset)] } };
}

/** All parts, in order. When one failed, what the others hold is released. */
async function join(parts: readonly (ExportData | Promise<ExportData>)[]): Promise<ExportData> {
  const outcomes = await Promise.allSettled(parts);
  const data = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const release = (): void => {
    for (const part of data) part.release?.();
  };
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) {
    release();
    throw failed.reason;
  }
  return { chunks: data.flatMap(({ chunks }) => chunks), release };
}
