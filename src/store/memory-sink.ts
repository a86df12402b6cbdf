// A sink into memory of a known size.
import type { Sink } from './store.ts';

/** Fills memory in order; `rest(from)` is what follows the first `from` bytes, or the start of it. */
export function memorySink(rest: (from: number) => Uint8Array): Sink {
  let filled = 0;
  return {
    room: () => rest(filled),
    filled: (count) => {
      filled += count;
    },
  };
}
