// From the forecast to pieces: what is fetched by one read each, in the order in which the guest first needs them. Pure.
//
//   a layer's object   |      region 0      |      region 1      |   regions of `pieceSize`, aligned
//   visible ranges      ####  ## #     ####   ##            #####
//   pieces             [----------]   [----] [--]          [----]   joined over gaps below MIN_GAP, never over a region's end
//
// Places in the forecast are counted in visible bytes. A region is cut into pieces when the forecast has come `ripeAfter` past
// its first range, or when it is full: the ranges that share a piece lie close together in the guest too, since QEMU's backup writes in guest
// order, but for 64 clusters at a time in any order. What turns out later to be needed of a region makes further pieces.
import { KiB } from '../../units.ts';
import type { PieceRange } from '../fetch/piece.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { VisibleRange } from './forecast.ts';

/** A gap that costs less time to fetch than another request. */
export const MIN_GAP = 256 * KiB;

interface Region {
  readonly key: number;
  readonly layer: RemoteLayer;
  readonly ranges: { readonly offset: number; readonly length: number; readonly at: number }[];
  readonly first: number;
  visible: number;
}

export interface FetchPlanOptions {
  /** Bytes of a region: the most that a piece has. */
  readonly pieceSize: number;
  /** Visible bytes. */
  readonly ripeAfter: number;
}

export class FetchPlan {
  readonly #pieceSize: number;
  readonly #ripeAfter: number;
  /** In the order of their first need. */
  readonly #regions = new Map<number, Region>();
  /** Those to which nothing can be added any more. */
  #full: Region[] = [];
  #total = 0;
  #waiting = 0;
  #complete = false;

  constructor({ pieceSize, ripeAfter }: FetchPlanOptions) {
    this.#pieceSize = pieceSize;
    this.#ripeAfter = ripeAfter;
  }

  /** Where the forecast stands. */
  get total(): number {
    return this.#total;
  }

  /** Ranges that wait in regions. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Takes one range of the forecast. It lies within one region. */
  add({ layer, offset, length }: VisibleRange): void {
    const key = this.keyOf(layer, offset);
    let region = this.#regions.get(key);
    if (region === undefined) {
      region = { key, layer, ranges: [], first: this.#total, visible: 0 };
      this.#regions.set(key, region);
    }
    region.ranges.push({ offset, length, at: this.#total });
    region.visible += length;
    this.#total += length;
    this.#waiting += 1;
    if (region.visible === this.#pieceSize) this.#full.push(region);
  }

  /** The forecast has ended: every region is ripe. */
  complete(): void {
    this.#complete = true;
  }

  /** The place from which on nothing is cut yet; Infinity when all is. */
  get nextFirst(): number {
    for (const region of this.#regions.values()) return region.first;
    return Number.POSITIVE_INFINITY;
  }

  /** The next ripe region's pieces; undefined when none is ripe. `anyway`: ripe or not. */
  cutNext(anyway: boolean): PieceRange[] | undefined {
    for (const region of this.#regions.values()) {
      const ripe = anyway || this.#complete || this.#total - region.first >= this.#ripeAfter;
      if (ripe) return this.#cut(region);
      break;
    }
    const full = this.#full[0];
    return full === undefined ? undefined : this.#cut(full);
  }

  /** The pieces of the region that holds a layer's byte, ripe or not; none when nothing waits there. */
  cutAt(layer: RemoteLayer, offset: number): PieceRange[] {
    const region = this.#regions.get(this.keyOf(layer, offset));
    return region === undefined ? [] : this.#cut(region);
  }

  /** Names a region: objects are below 2^53 bytes. */
  keyOf(layer: RemoteLayer, offset: number): number {
    return layer.index * 2 ** 40 + Math.floor(offset / this.#pieceSize);
  }

  /** Cuts a range of the forecast where regions end. */
  *split({ layer, offset, length }: VisibleRange): Generator<VisibleRange, void, undefined> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / this.#pieceSize) + 1) * this.#pieceSize);
      yield { layer, offset: at, length: next - at };
      at = next;
    }
  }

  #cut({ key, layer, ranges }: Region): PieceRange[] {
    this.#regions.delete(key);
    this.#full = this.#full.filter((region) => region.key !== key);
    this.#waiting -= ranges.length;
    const pieces: Cutting[] = [];
    for (const { offset, length, at } of ranges.sort((a, b) => a.offset - b.offset)) {
      const end = offset + length;
      const last = pieces.at(-1);
      if (last === undefined || offset - last.end >= MIN_GAP) {
        pieces.push({ layer, start: offset, end, visible: length, first: at, last: at });
        continue;
      }
      last.end = Math.max(last.end, end);
      last.visible += length;
      last.first = Math.min(last.first, at);
      last.last = Math.max(last.last, at);
    }
    return pieces.sort((a, b) => a.first - b.first);
  }
}

type Cutting = { -readonly [Key in keyof PieceRange]: PieceRange[Key] };
