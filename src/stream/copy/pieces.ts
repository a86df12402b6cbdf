// From extents to pieces: what is fetched by one read each. Pure.
//
//   an object           |--------------------------------------------------|
//   visible extents      ####  ## #         ##   ####                ######
//   pieces              [---------]        [--------]               [-----]
//
// A window of the disk at a time: its extents are sorted by layer and offset, since the writer of a backup stores neighbours
// of the disk close together, but not in order. The gaps between them are read through where that saves a request.
import { type ByteRange, KiB, MiB } from '../../units.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { DataExtent, Extent } from './extents.ts';

export interface Piece {
  readonly layer: RemoteLayer;
  /** In the object. */
  readonly start: number;
  readonly end: number;
  /** In the order of the object, without overlaps. */
  readonly extents: readonly DataExtent[];
}

export interface Window {
  readonly pieces: readonly Piece[];
  readonly zeros: readonly ByteRange[];
}

/** Visible bytes of a window, and how many extents it has at most: 4,096 of 64 KiB would be four times as much. */
const WINDOW_BYTES = 64 * MiB;
const WINDOW_EXTENTS = 4096;

/** A larger gap takes longer to read than another request. */
const MAX_GAP = 256 * KiB;
/** Bytes of gaps that a window reads through, as a part of its visible bytes. */
const GAP_SHARE = 0.05;

/** Windows in the order of the disk; no piece is larger than `pieceSize`. Rejects as `extents` does. */
export async function* planPieces(
  extents: AsyncIterable<Extent>,
  { pieceSize }: { readonly pieceSize: number },
): AsyncGenerator<Window, void, undefined> {
  let filling = new Filling();
  for await (const extent of extents) {
    for (const part of split(extent, pieceSize)) {
      filling.add(part);
      if (!filling.full) continue;
      yield filling.close(pieceSize);
      filling = new Filling();
    }
  }
  yield filling.close(pieceSize);
}

/** A window as its extents come. */
class Filling {
  readonly #data: DataExtent[] = [];
  readonly #zeros: ByteRange[] = [];
  #visible = 0;

  get full(): boolean {
    return this.#visible >= WINDOW_BYTES || this.#data.length + this.#zeros.length >= WINDOW_EXTENTS;
  }

  add(extent: Extent): void {
    if (extent.layer === undefined) this.#zeros.push(extent);
    else {
      this.#data.push(extent);
      this.#visible += extent.length;
    }
  }

  close(pieceSize: number): Window {
    return { pieces: joinPieces(this.#data, { pieceSize, visible: this.#visible }), zeros: this.#zeros };
  }
}

function* split(extent: Extent, most: number): Generator<Extent, void, undefined> {
  const { layer } = extent;
  if (layer === undefined) {
    yield extent;
    return;
  }
  for (let at = 0; at < extent.length; at += most) {
    const length = Math.min(most, extent.length - at);
    const stored = Math.min(length, extent.stored - at);
    // Padding alone is never as large as a piece, so that something is stored of each part.
    yield { layer, offset: extent.offset + at, length, host: extent.host + at, stored };
  }
}

function joinPieces(
  extents: DataExtent[],
  { pieceSize, visible }: { readonly pieceSize: number; readonly visible: number },
): Piece[] {
  extents.sort((a, b) => a.layer.index - b.layer.index || a.host - b.host);
  const read = gapsToRead(extents, visible * GAP_SHARE);
  const pieces: { layer: RemoteLayer; start: number; end: number; extents: DataExtent[] }[] = [];
  for (const extent of extents) {
    const { layer, host, length } = extent;
    // The padding is written from the same memory.
    const end = host + length;
    const last = pieces.at(-1);
    const gap = last?.layer === layer ? host - last.end : Number.NaN;
    const isNear = gap === 0 || (gap > 0 && read.has(extent));
    if (last !== undefined && isNear && end - last.start <= pieceSize) {
      last.end = end;
      last.extents.push(extent);
    } else pieces.push({ layer, start: host, end, extents: [extent] });
  }
  return pieces.map(trimmed);
}

/** The object may end where the padding of the last extent would begin. */
function trimmed({ layer, start, extents }: Piece): Piece {
  const last = extents.at(-1);
  return { layer, start, end: last === undefined ? start : last.host + last.stored, extents };
}

/** The extents whose gap before them is read through: the narrowest gaps, as many as the budget of bytes has. */
function gapsToRead(extents: readonly DataExtent[], budget: number): ReadonlySet<DataExtent> {
  const gaps: { readonly extent: DataExtent; readonly gap: number }[] = [];
  for (const [index, extent] of extents.entries()) {
    const before = extents[index - 1];
    if (before?.layer !== extent.layer) continue;
    const gap = extent.host - before.host - before.length;
    if (gap > 0 && gap < MAX_GAP) gaps.push({ extent, gap });
  }
  const read = new Set<DataExtent>();
  let spent = 0;
  for (const { extent, gap } of gaps.sort((a, b) => a.gap - b.gap)) {
    spent += gap;
    if (spent > budget) break;
    read.add(extent);
  }
  return read;
}
