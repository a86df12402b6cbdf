// Exports for tests: bytes in memory, given out as views in several chunks, and a file read at each request; seeded bytes.
import type { FileHandle } from 'node:fs/promises';
import type { Export, Extent } from '../../src/nbd/export.ts';
import { isFilled } from './filled.ts';

export interface MemoryExportOptions {
  readonly description?: string;
  /** How many bytes a chunk has at most. */
  readonly chunkSize?: number;
  /** Tell which 4 KiB blocks are zero. */
  readonly extents?: boolean;
}

const BLOCK = 4096;
/** An answer tells of no more: a client that asks from each of its extents on to the end would have all scanned again each time. */
const MAX_SCAN = 64 * 1024;

/** Serves `bytes` as they are: every chunk is a view of them. */
export function memoryExport(name: string, bytes: Uint8Array, options: MemoryExportOptions = {}): Export {
  const { description, chunkSize = 1024 * 1024, extents = false } = options;
  return {
    name,
    ...(description === undefined ? {} : { description }),
    size: bytes.length,
    read: async (offset, length, signal) => {
      signal.throwIfAborted();
      const chunks: Uint8Array[] = [];
      const end = offset + length;
      for (let at = offset; at < end; at += chunkSize) chunks.push(bytes.subarray(at, Math.min(at + chunkSize, end)));
      return { chunks };
    },
    ...(extents ? { extents: async (offset: number, length: number) => extentsOf(bytes, offset, length) } : {}),
  };
}

/** Serves an open file of `size` bytes; each read is given memory of its own. */
export function fileExport(name: string, file: FileHandle, size: number): Export {
  return {
    name,
    size,
    read: async (offset, length, signal) => {
      const chunk = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(chunk, done, length - done, offset + done);
        if (bytesRead === 0) throw new Error(`the file ends at ${offset + done}`);
        done += bytesRead;
      }
      signal.throwIfAborted();
      return { chunks: [chunk] };
    },
  };
}

function extentsOf(bytes: Uint8Array, offset: number, length: number): Extent[] {
  const extents: Extent[] = [];
  for (let at = offset; at < offset + Math.min(length, MAX_SCAN); ) {
    const end = Math.min(at - (at % BLOCK) + BLOCK, bytes.length);
    const zero = isFilled(bytes.subarray(at, end));
    extents.push({ length: end - at, hole: zero, zero });
    at = end;
  }
  return extents;
}

/** Seeded bytes: 16 KiB without a zero, 16 KiB of zeroes, and so on. */
export function patternBytes(size: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed * 2654435761;
  for (let index = 0; index < size; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (Math.floor(index / 16384) % 2 === 0) bytes[index] = (state >>> 24) | 1;
  }
  return bytes;
}
