// Which tables will be read next: the order in which qemu goes through one layer, or through a chain. Pure.
import type { TableIndex } from '../../qcow2/table-index.ts';
import { MiB } from '../../units.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { TablePlace } from './batch.ts';

/** Fetched ahead at a time: a row of 64 layers of KubeVirt's clusters, or 2 GiB of guest with clusters of 4 KiB. */
const AHEAD_BYTES = 4 * MiB;
const AHEAD_TABLES = 512;

export interface Ahead {
  /** To be fetched, in the order of need. */
  readonly places: readonly TablePlace[];
  /** Where what comes behind them begins (a rank, or a guest offset); undefined when nothing does. */
  readonly next: number | undefined;
}

export interface IndexedLayer {
  readonly layer: RemoteLayer;
  readonly tables: TableIndex;
}

/** Tables of one layer from a rank on: its L2 tables by guest offset, then its refcount blocks. */
export function aheadInLayer(
  { layer, tables }: IndexedLayer,
  from: number,
  isCached: (place: TablePlace) => boolean,
): Ahead {
  const wanted = new Wanted(isCached);
  let rank = from;
  while (rank < tables.count && !wanted.enough) wanted.add({ layer, slice: tables.at(rank++) });
  return { places: wanted.places, next: rank < tables.count ? rank : undefined };
}

/** Rows of the guest from an offset on, each tip to base, since that is how qemu goes through a chain. */
export function aheadInChain(
  layers: readonly IndexedLayer[],
  from: number,
  isCached: (place: TablePlace) => boolean,
): Ahead {
  const tipFirst = layers.toReversed().map((one) => ({ ...one, rank: one.tables.rankAt(from) }));
  const wanted = new Wanted(isCached);
  let next = from;
  while (!wanted.enough) {
    const row = Math.min(...tipFirst.map(({ tables, rank }) => tables.guestOf(rank)));
    if (row === Number.POSITIVE_INFINITY) return { places: wanted.places, next: undefined };
    for (const cursor of tipFirst) {
      const { layer, tables, rank } = cursor;
      if (tables.guestOf(rank) > row) continue;
      wanted.add({ layer, slice: tables.at(rank) });
      cursor.rank += 1;
    }
    next = row + 1;
  }
  return { places: wanted.places, next };
}

/** Tables that are not there yet, up to a bound. */
class Wanted {
  readonly places: TablePlace[] = [];
  readonly #isCached: (place: TablePlace) => boolean;
  #bytes = 0;

  constructor(isCached: (place: TablePlace) => boolean) {
    this.#isCached = isCached;
  }

  get enough(): boolean {
    return this.#bytes >= AHEAD_BYTES || this.places.length >= AHEAD_TABLES;
  }

  add(place: TablePlace): void {
    const { start, end } = place.slice;
    if (end <= start || this.#isCached(place)) return;
    this.places.push(place);
    this.#bytes += end - start;
  }
}
