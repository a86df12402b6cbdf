// Where bytes differ from zero: by comparing blocks of memory, since a loop over every byte takes a hundred times as long.
import { KiB } from './units.ts';

const BLOCK = new Uint8Array(64 * KiB);

/** Whether all bytes are zeros; stops at the first one that is not. */
export function isZero(bytes: Uint8Array): boolean {
  return firstBlockOfData(bytes) === undefined;
}

/** The position of the first byte that is not zero, or -1. */
export function firstNonZero(bytes: Uint8Array): number {
  const start = firstBlockOfData(bytes);
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

function firstBlockOfData(bytes: Uint8Array): number | undefined {
  for (let start = 0; start < bytes.length; start += BLOCK.length) {
    const block = bytes.subarray(start, start + BLOCK.length);
    if (Buffer.compare(block, BLOCK.subarray(0, block.length)) !== 0) return start;
  }
  return undefined;
}
