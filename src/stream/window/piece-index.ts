// Finds the piece that holds a byte of a layer.
import type { Piece } from '../fetch/piece.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';

/** The pieces of all layers, found by the bytes that they hold. */
export class PieceIndex {
  readonly #keyOf: (layer: RemoteLayer, offset: number) => number;
  readonly #byRegion = new Map<number, Piece[]>();

  constructor(keyOf: (layer: RemoteLayer, offset: number) => number) {
    this.#keyOf = keyOf;
  }

  add(piece: Piece): void {
    const key = this.#key(piece);
    const known = this.#byRegion.get(key);
    if (known === undefined) this.#byRegion.set(key, [piece]);
    else known.push(piece);
  }

  remove(piece: Piece): void {
    const key = this.#key(piece);
    const left = this.#byRegion.get(key)?.filter((other) => other !== piece) ?? [];
    if (left.length === 0) this.#byRegion.delete(key);
    else this.#byRegion.set(key, left);
  }

  /** The piece that holds a layer's byte. */
  find(layer: RemoteLayer, offset: number): Piece | undefined {
    return this.#byRegion
      .get(this.#keyOf(layer, offset))
      ?.find(({ range }) => range.start <= offset && offset < range.end);
  }

  /** Where, behind `offset` and before `end`, the next piece of the same region begins; else `end`. */
  nextStart(layer: RemoteLayer, offset: number, end: number): number {
    const starts = this.#byRegion.get(this.#keyOf(layer, offset))?.map(({ range }) => range.start) ?? [];
    return Math.min(end, ...starts.filter((start) => start > offset));
  }

  *all(): Generator<Piece, void, undefined> {
    for (const pieces of this.#byRegion.values()) yield* pieces;
  }

  #key({ range }: Piece): number {
    return this.#keyOf(range.layer, range.start);
  }
}
