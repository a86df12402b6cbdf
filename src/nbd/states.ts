// From an export's extents to the descriptors of a BLOCK_STATUS reply; pure.
// Facts: doc/proto.md, "NBD_REPLY_TYPE_BLOCK_STATUS": no descriptor of length 0, neighbours of different states.
import type { Extent } from './export.ts';
import { STATE } from './wire.ts';

export interface StateRun {
  /** Bytes, 1 … 2^32−1. */
  readonly length: number;
  /** Bits of STATE. */
  readonly state: number;
}

/** One reply holds no more; the client asks on behind them. */
const MAX_RUNS = 4096;

/**
 * Joins neighbours of one state and cuts at `length` bytes (1 … 2^32−1), the request's. Throws TypeError when the extents
 * are none, or hold one whose length is not a whole number ≥ 1: a bug of the export.
 */
export function statesOf(extents: readonly Extent[], length: number): StateRun[] {
  const runs: { length: number; state: number }[] = [];
  let left = length;
  for (const extent of extents) {
    if (!Number.isSafeInteger(extent.length) || extent.length < 1) {
      throw new TypeError(`the export reported an extent of ${extent.length} bytes`);
    }
    const state = (extent.hole ? STATE.HOLE : 0) | (extent.zero ? STATE.ZERO : 0);
    const last = runs.at(-1);
    const taken = Math.min(extent.length, left);
    if (last?.state === state) last.length += taken;
    else if (runs.length === MAX_RUNS) break;
    else runs.push({ length: taken, state });
    left -= taken;
    if (left === 0) break;
  }
  if (runs.length === 0) throw new TypeError('the export reported no extent');
  return runs;
}
