// Tables of one layer that lie close together in its file, fetched by one read.
import type { TableSlice } from '../../qcow2/table-index.ts';
import { KiB } from '../../units.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';

/** What a request costs in time buys so many bytes and more: tables less far apart come together. */
const JOIN_GAP = 64 * KiB;
/** Bytes of one read. */
export const MAX_BATCH = 256 * KiB;

export interface TablePlace {
  readonly layer: RemoteLayer;
  readonly slice: TableSlice;
}

export class TableBatch {
  readonly layer: RemoteLayer;
  /** In host order. */
  readonly slices: readonly TableSlice[];
  readonly #fetch: (batch: TableBatch) => Promise<void>;
  #started: Promise<void> | undefined;

  private constructor(layer: RemoteLayer, slices: readonly TableSlice[], fetch: (batch: TableBatch) => Promise<void>) {
    this.layer = layer;
    this.slices = slices;
    this.#fetch = fetch;
  }

  /** Batches in the order in which their first tables are wanted. */
  static join(places: readonly TablePlace[], fetch: (batch: TableBatch) => Promise<void>): TableBatch[] {
    const wanted = places.map((place, position) => ({ ...place, position }));
    wanted.sort((a, b) => a.layer.index - b.layer.index || a.slice.start - b.slice.start);
    const groups: { first: number; layer: RemoteLayer; slices: TableSlice[] }[] = [];
    for (const { layer, slice, position } of wanted) {
      const last = groups.at(-1);
      if (last?.layer === layer && fits(last.slices, slice)) {
        last.slices.push(slice);
        last.first = Math.min(last.first, position);
      } else {
        groups.push({ first: position, layer, slices: [slice] });
      }
    }
    groups.sort((a, b) => a.first - b.first);
    return groups.map(({ layer, slices }) => new TableBatch(layer, slices, fetch));
  }

  /** One that needs no fetching any more. */
  static fetched(layer: RemoteLayer, slice: TableSlice): TableBatch {
    return new TableBatch(layer, [slice], () => Promise.resolve());
  }

  get first(): number {
    return this.slices[0]?.start ?? 0;
  }

  get end(): number {
    return this.slices.at(-1)?.end ?? 0;
  }

  /** Fetches it, unless that was begun before; gives when it is there. */
  start(): Promise<void> {
    this.#started ??= this.#fetch(this);
    return this.#started;
  }
}

function fits(slices: readonly TableSlice[], slice: TableSlice): boolean {
  const [first, last] = [slices[0], slices.at(-1)];
  if (first === undefined || last === undefined) return true;
  return slice.start - last.end <= JOIN_GAP && slice.end - first.start <= MAX_BATCH;
}
