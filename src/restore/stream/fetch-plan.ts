// From the forecast to pieces: what is fetched by one read each, in the order in which the guest first needs them. Pure.
//
//   a layer's object   |      region 0      |      region 1      |   regions of `pieceSize`, aligned
//   visible ranges      ####  ## #     ####   ##            #####
//   pieces             [----------]   [----] [--]          [----]   joined over gaps below MIN_GAP, never over a region's end
//
// A region is cut into pieces when the forecast has come half of `ahead` past its first range: the ranges that share a piece
// lie close together in the guest too, since QEMU's backup writes in guest order, but for 64 clusters at a time in any order.
// What turns out later to be needed of a region makes further pieces. A piece waits in the window until its last range is
// read, so `ahead`, the most that lies between two ranges of one piece, must not be more than the window holds.
import { KiB } from '../../units.ts';
import type { VisibleRange } from './forecast.ts';
import type { RemoteLayer } from './remote-layer.ts';

/** A gap that costs less time to fetch than another request. */
export const MIN_GAP = 256 * KiB;

export interface PieceRange {
  readonly layer: RemoteLayer;
  /** In the layer's object. */
  readonly start: number;
  readonly end: number;
  /** Bytes of it that the guest shows. */
  readonly visible: number;
  /** Guest offsets of the first and last range in it. */
  readonly guestFirst: number;
  readonly guestLast: number;
}

interface Region {
  readonly key: number;
  readonly layer: RemoteLayer;
  readonly ranges: VisibleRange[];
  readonly guestFirst: number;
  /** Visible bytes of the whole forecast when it was begun. */
  readonly begunAt: number;
  visible: number;
}

export interface FetchPlanOptions {
  /** Bytes of a region: the most that a piece has. */
  readonly pieceSize: number;
  /** How far the forecast is let go ahead of the fetches, in visible bytes. */
  readonly ahead: number;
}

export class FetchPlan {
  readonly #pieceSize: number;
  readonly #ahead: number;
  /** In the order of their first need. */
  readonly #regions = new Map<number, Region>();
  #total = 0;
  #uncut = 0;
  #ranges = 0;
  #complete = false;

  constructor({ pieceSize, ahead }: FetchPlanOptions) {
    this.#pieceSize = pieceSize;
    this.#ahead = ahead;
  }

  /** Visible bytes that wait in regions. */
  get waitingBytes(): number {
    return this.#uncut;
  }

  /** Ranges that wait in regions. */
  get waitingRanges(): number {
    return this.#ranges;
  }

  /** Takes one range of the forecast, which comes in guest order. `range` lies within one region. */
  add(range: VisibleRange): void {
    const key = this.keyOf(range.layer, range.offset);
    let region = this.#regions.get(key);
    if (region === undefined) {
      region = { key, layer: range.layer, ranges: [], guestFirst: range.guest, begunAt: this.#total, visible: 0 };
      this.#regions.set(key, region);
    }
    region.ranges.push(range);
    region.visible += range.length;
    this.#total += range.length;
    this.#uncut += range.length;
    this.#ranges += 1;
  }

  /** The forecast has ended: every region is ripe. */
  complete(): void {
    this.#complete = true;
  }

  /** The guest offset from which on nothing is cut yet; Infinity when all is. */
  get nextGuest(): number {
    for (const region of this.#regions.values()) return region.guestFirst;
    return Number.POSITIVE_INFINITY;
  }

  /** The next ripe region's pieces; undefined when none is ripe. `anyway`: ripe or not. */
  cutNext(anyway: boolean): PieceRange[] | undefined {
    for (const region of this.#regions.values()) {
      const ripe = anyway || this.#complete || this.#total - region.begunAt >= this.#ahead / 2;
      return ripe ? this.#cut(region) : undefined;
    }
    return undefined;
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
  *split({ layer, offset, length, guest }: VisibleRange): Generator<VisibleRange, void, undefined> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / this.#pieceSize) + 1) * this.#pieceSize);
      yield { layer, offset: at, length: next - at, guest: guest + at - offset };
      at = next;
    }
  }

  #cut(region: Region): PieceRange[] {
    this.#regions.delete(region.key);
    this.#uncut -= region.visible;
    this.#ranges -= region.ranges.length;
    const pieces: {
      layer: RemoteLayer;
      start: number;
      end: number;
      visible: number;
      guestFirst: number;
      guestLast: number;
    }[] = [];
    for (const { offset, length, guest } of region.ranges.sort((a, b) => a.offset - b.offset)) {
      const end = offset + length;
      const last = pieces.at(-1);
      if (last === undefined || offset - last.end >= MIN_GAP) {
        pieces.push({ layer: region.layer, start: offset, end, visible: length, guestFirst: guest, guestLast: guest });
        continue;
      }
      last.end = Math.max(last.end, end);
      last.visible += length;
      last.guestFirst = Math.min(last.guestFirst, guest);
      last.guestLast = Math.max(last.guestLast, guest);
    }
    return pieces.sort((a, b) => a.guestFirst - b.guestFirst);
  }
}
