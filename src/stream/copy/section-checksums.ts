// CRC-32s of the disk as its bytes were received, one for each 64 MiB: what the target must give back.
import { crc32 } from 'node:zlib';
import type { Witness } from '../../chain/destination.ts';
import { combineCrc32, crc32OfZeros } from '../../crc32-combine.ts';
import { type ByteRange, MiB } from '../../units.ts';

const SECTION = 64 * MiB;

export interface SectionChecksum extends ByteRange {
  readonly crc: number;
}

interface Section extends ByteRange {
  /** In any order, until they are all there. */
  parts: SectionChecksum[];
  left: number;
  crc: number;
}

/** Sections begin at multiples of 64 MiB of the disk; only bytes of `range` count. */
export class SectionChecksums implements Witness {
  readonly #range: ByteRange;
  readonly #sections = new Map<number, Section>();
  /** The disk's zeros come in few lengths. */
  #zeros = { length: 0, crc: 0 };

  constructor(range: ByteRange) {
    this.#range = range;
  }

  sawBytes(bytes: Uint8Array, offset: number): void {
    for (const { section, part } of this.#split({ offset, length: bytes.length })) {
      const from = part.offset - offset;
      this.#add(section, { ...part, crc: crc32(bytes.subarray(from, from + part.length)) });
    }
  }

  sawZeros(range: ByteRange): void {
    for (const { section, part } of this.#split(range))
      this.#add(section, { ...part, crc: this.#crcOfZeros(part.length) });
  }

  /** In the order of the disk. Every byte of the range must have been seen. */
  *inOrder(): Generator<SectionChecksum, void, undefined> {
    const { offset, length } = this.#range;
    for (let at = offset; at < offset + length; ) {
      const section = this.#section(at);
      if (section.left !== 0) throw new TypeError(`${section.left} bytes of the section at ${at} were not seen`);
      yield section;
      at += section.length;
    }
  }

  *#split({ offset, length }: ByteRange): Generator<{ section: Section; part: ByteRange }, void, undefined> {
    const end = Math.min(offset + length, this.#range.offset + this.#range.length);
    for (let at = Math.max(offset, this.#range.offset); at < end; ) {
      const section = this.#section(at);
      const next = Math.min(end, section.offset + section.length);
      yield { section, part: { offset: at, length: next - at } };
      at = next;
    }
  }

  #section(at: number): Section {
    const index = Math.floor(at / SECTION);
    const known = this.#sections.get(index);
    if (known !== undefined) return known;
    const offset = Math.max(index * SECTION, this.#range.offset);
    const length = Math.min((index + 1) * SECTION, this.#range.offset + this.#range.length) - offset;
    const section = { offset, length, parts: [], left: length, crc: 0 };
    this.#sections.set(index, section);
    return section;
  }

  #add(section: Section, part: SectionChecksum): void {
    section.parts.push(part);
    section.left -= part.length;
    if (section.left !== 0) return;
    const parts = section.parts.sort((a, b) => a.offset - b.offset);
    section.crc = parts.reduce((crc, { crc: next, length }) => combineCrc32(crc, next, length), 0);
    section.parts = [];
  }

  #crcOfZeros(length: number): number {
    if (this.#zeros.length !== length) this.#zeros = { length, crc: crc32OfZeros(length) };
    return this.#zeros.crc;
  }
}
