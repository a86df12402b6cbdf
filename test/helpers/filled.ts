// Many equal bytes: a loop over each byte of a disk takes a hundred times as long, and a buffer as large as a disk costs the collection
// of everything else.
import { closeSync, openSync, readSync, truncateSync, writeSync } from 'node:fs';
import { MiB } from '../../src/units.ts';

/** Whether every byte is `value`. */
export function isFilled(bytes: Uint8Array, value = 0): boolean {
  const piece = Buffer.alloc(Math.min(bytes.length, MiB), value);
  for (let at = 0; at < bytes.length; at += MiB) {
    const part = bytes.subarray(at, at + MiB);
    if (!piece.subarray(0, part.length).equals(part)) return false;
  }
  return true;
}

/** Part of a file; shorter than `length` where the file ends before. */
export function bytesAt(path: string, offset: number, length: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  } finally {
    closeSync(file);
  }
}

/** Makes a file of `size` bytes: of zeros without blocks, or full of `value`. */
export function makeFile(path: string, size: number, value?: number): void {
  const file = openSync(path, 'w');
  try {
    const piece = Buffer.alloc(value === undefined ? 0 : Math.min(size, MiB), value);
    for (let at = 0; piece.length > 0 && at < size; at += piece.length) {
      writeSync(file, piece, 0, Math.min(piece.length, size - at), at);
    }
  } finally {
    closeSync(file);
  }
  truncateSync(path, size);
}
