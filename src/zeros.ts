// Where bytes differ from zero: by comparing blocks of memory, since a loop over every byte takes a hundred times as long.
import { KiB } from './units.ts';

const BLOCK = new Uint8Array(64 * KiB);

/** Whether all bytes from `start` to `end` are zeros; stops at the first one that is not. */
export function isZero(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  return firstBlockOfData(bytes, start, end) === undefined;
}

/** The position of the first byte that is not zero, or -1. */
export function firstNonZero(bytes: Uint8Array): number {
  const start = firstBlockOfData(bytes, 0, bytes.length);
  if (start === undefined) return -1;
  return start + bytes.subarray(start, start + BLOCK.length).findIndex((byte) => byte !== 0);
}

/** The bytes without the zeros at their end. */
export function withoutTrailingZeros(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end >= BLOCK.length && isZero(bytes.subarray(end - BLOCK.length, end))) end -= BLOCK.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return bytes.subarray(0, end);
}

function firstBlockOfData(bytes: Uint8Array, from: number, to: number): number | undefined {
  for (let start = from; start < to; start += BLOCK.length) {
    // Most blocks of data begin with some: a comparison makes two views first.
    if (bytes[start] !== 0) return start;
    const block = bytes.subarray(start, Math.min(start + BLOCK.length, to));
    if (Buffer.compare(block, BLOCK.subarray(0, block.length)) !== 0) return start;
  }
  return undefined;
}
