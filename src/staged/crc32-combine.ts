// CRC-32 of a whole from the CRCs of its parts, so that a full-object CRC is proven without reading the bytes again.
// The algorithm is zlib's crc32_combine: appending n zero bits to a message is a linear map over GF(2)^32.

/** The CRC-32 (zlib, IEEE) of A‖B, from those of A and of B and B's length in bytes (0 … 2^53−1). */
export function combineCrc32(first: number, second: number, secondLength: number): number {
  let crc = first >>> 0;
  let operator = squared(squared(squared(ONE_ZERO_BIT)));
  for (let bytes = secondLength; bytes > 0; bytes = Math.floor(bytes / 2)) {
    if (bytes % 2 === 1) crc = times(operator, crc);
    operator = squared(operator);
  }
  return (crc ^ second) >>> 0;
}

type Matrix = readonly number[];

/** Row i is what bit i becomes when one zero bit is appended: the reflected polynomial for bit 0, a shift for the rest. */
const ONE_ZERO_BIT: Matrix = Array.from({ length: 32 }, (_, bit) => (bit === 0 ? 0xedb88320 : 2 ** (bit - 1)));

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
