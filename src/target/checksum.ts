// CRC-32 of bytes that come piece by piece, and whether all of them are zero.
import { crc32 } from 'node:zlib';
import { isZero } from '../zeros.ts';

export interface Checksum {
  readonly crc: number;
  readonly zero: boolean;
}

export class ChecksumOfPieces {
  #crc = 0;
  #zero = true;

  add(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc);
    this.#zero &&= isZero(bytes);
  }

  result(): Checksum {
    return { crc: this.#crc, zero: this.#zero };
  }
}
