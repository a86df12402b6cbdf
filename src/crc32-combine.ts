// CRC-32 of a sequence from the CRCs of its parts, so that a full-object CRC is proven without reading the bytes again.
// The algorithm is zlib's crc32_combine: appending n zero bits to a message is a linear map over GF(2)^32.
import { crc32 } from 'node:zlib';

/** The CRC-32 (zlib, IEEE) of A‖B, from those of A and of B and B's length in bytes (0 … 2^53−1). */
export function combineCrc32(first: number, second: number, secondLength: number): number {
  let crc = first >>> 0;
  for (let bytes = secondLength, power = 0; bytes > 0; bytes = Math.floor(bytes / 2), power += 1) {
    if (bytes % 2 === 1) crc = times(appending(power), crc);
  }
  return (crc ^ second) >>> 0;
}

/** The CRC-32 of `length` bytes that are zero (0 … 2^53−1). */
export function crc32OfZeros(length: number): number {
  let crc = 0;
  let part = crc32(new Uint8Array(1));
  for (let bytes = length, size = 1; bytes > 0; bytes = Math.floor(bytes / 2), size *= 2) {
    if (bytes % 2 === 1) crc = combineCrc32(crc, part, size);
    part = combineCrc32(part, part, size);
  }
  return crc;
}

type Matrix = readonly number[];

/** Row i is what bit i becomes when one zero bit is appended: the reflected polynomial for bit 0, a shift for the rest. */
const ONE_ZERO_BIT: Matrix = Array.from({ length: 32 }, (_, bit) => (bit === 0 ? 0xedb88320 : 2 ** (bit - 1)));

/** Appending 2^n zero bytes, by n. Computed once: a matrix takes 1,024 steps, and a copied disk is combined from thousands of parts. */
const POWERS: Matrix[] = [];

function appending(power: number): Matrix {
  for (let next = POWERS.length; next <= power; next += 1) {
    const before = POWERS[next - 1];
    POWERS.push(before === undefined ? squared(squared(squared(ONE_ZERO_BIT))) : squared(before));
  }
  return POWERS[power] ?? ONE_ZERO_BIT;
}

function times(matrix: Matrix, vector: number): number {
  let sum = 0;
  for (let bit = 0; bit < 32; bit += 1) {
    if ((vector >>> bit) & 1) sum ^= matrix[bit] ?? 0;
  }
  return sum >>> 0;
}

function squared(matrix: Matrix): Matrix {
  return matrix.map((row) => times(matrix, row));
}
