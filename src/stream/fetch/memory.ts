// The memory that fetched bytes pass through: page-aligned, as O_DIRECT asks, and the same for every disk of a run.

import { DatamoverError } from '../../errors.ts';
import { formatBytes, GiB } from '../../units.ts';

// The language's own, which the type library has only for browsers.
declare const WebAssembly: {
  readonly Memory: new (options: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

/** WebAssembly's page. */
const PAGE = 64 * 1024;

export interface BorrowedMemory {
  /** Starts at a page. Only what is touched occupies memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Nothing may read or write `bytes` afterwards. */
  giveBack(): void;
}

/** It cannot be freed, and only some garbage collection would return it: one that was given back is used again. */
let free: Uint8Array<ArrayBuffer> | undefined;

/** More cannot be had of it in one piece everywhere, and no source fills it. */
const MOST = 2 * GiB;

/** `size` bytes of memory, but no more than 2 GiB. They hold what others left there. @throws DatamoverError TOOL_FAILED */
export function borrowMemory(wanted: number): BorrowedMemory {
  const size = Math.min(wanted, MOST);
  const pages = Math.ceil(size / PAGE);
  let bytes = free !== undefined && free.length >= size ? free : undefined;
  if (bytes === undefined) bytes = allocate(pages);
  else free = undefined;
  const borrowed = bytes;
  return {
    bytes: borrowed.subarray(0, size),
    giveBack: () => {
      if (free === undefined || free.length < borrowed.length) free = borrowed;
    },
  };
}

function allocate(pages: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
  } catch (cause) {
    // The preflight checks the limits, but what they leave may be used up since.
    throw new DatamoverError('TOOL_FAILED', `not enough memory: cannot allocate ${formatBytes(pages * PAGE)}`, {
      hint: 'raise the limit of memory (`ulimit -d`, `ulimit -v`), or read less ahead (`--window 16Mi`), then run the same command again',
      cause,
    });
  }
}
