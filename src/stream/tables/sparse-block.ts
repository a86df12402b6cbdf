// A piece of a table, kept without its sectors of zeros: the L2 tables of a scattered layer are mostly empty.

export const SECTOR = 512;

/** The most that one block holds: QEMU itself reads tables in pieces of at most so many bytes. */
export const BLOCK_SIZE = 64 * 1024;

const ZEROS = new Uint8Array(BLOCK_SIZE);
/** What an entry costs beside its sectors (objects and map), estimated from heap snapshots. */
const OVERHEAD = 300;

export class SparseBlock {
  readonly length: number;
  readonly #sectors: Uint8Array;
  /** For each sector 0, or one more than its place in `#sectors`; undefined when none is left out. */
  readonly #places: Uint8Array | undefined;

  /** Keeps a copy of `bytes`, at most BLOCK_SIZE of them. */
  constructor(bytes: Uint8Array) {
    this.length = bytes.length;
    const places = new Uint8Array(Math.ceil(bytes.length / SECTOR));
    let count = 0;
    for (let index = 0; index < places.length; index += 1) {
      const sector = bytes.subarray(index * SECTOR, (index + 1) * SECTOR);
      if (Buffer.compare(sector, ZEROS.subarray(0, sector.length)) !== 0) places[index] = count += 1;
    }
    if (count === places.length) {
      this.#sectors = Uint8Array.from(bytes);
      return;
    }
    this.#places = places;
    this.#sectors = new Uint8Array(count * SECTOR);
    for (const [index, place] of places.entries()) {
      if (place === 0) continue;
      this.#sectors.set(bytes.subarray(index * SECTOR, (index + 1) * SECTOR), (place - 1) * SECTOR);
    }
  }

  /** Bytes of memory that it takes. */
  get cost(): number {
    return this.#sectors.length + (this.#places?.length ?? 0) + OVERHEAD;
  }

  /** The sectors that hold more than zeros (or all of them), each with its offset; the last may be shorter. */
  *filled(): Generator<readonly [number, Uint8Array], void, undefined> {
    for (let from = 0, index = 0; from < this.length; from += SECTOR, index += 1) {
      const place = this.#places === undefined ? index + 1 : (this.#places[index] ?? 0);
      const length = Math.min(SECTOR, this.length - from);
      if (place !== 0) yield [from, this.#sectors.subarray((place - 1) * SECTOR, (place - 1) * SECTOR + length)];
    }
  }

  /** The bytes [from, to) as they lie in memory, which must not be changed; undefined when they have to be put together. */
  view(from: number, to: number): Uint8Array | undefined {
    if (this.#places === undefined) return this.#sectors.subarray(from, to);
    return this.#sectors.length === 0 ? ZEROS.subarray(0, to - from) : undefined;
  }

  /** Puts the bytes from `from` on into `room`, as many as it has. */
  copyTo(room: Uint8Array, from: number): void {
    room.fill(0);
    const to = from + room.length;
    for (const [start, sector] of this.filled()) {
      const [first, last] = [Math.max(from, start), Math.min(to, start + sector.length)];
      if (first < last) room.set(sector.subarray(first - start, last - start), first - from);
    }
  }
}
