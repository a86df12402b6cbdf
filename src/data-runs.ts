// Blocks that a layer stores although they are all zeros: most of a first full backup.
import { KiB } from './units.ts';
import { isZero } from './zeros.ts';

/** Shorter runs are written with their neighbours: a write more costs more than it saves. */
export const ZERO_BLOCK = 64 * KiB;

/** The runs of `bytes` (start and end) that hold anything but zeros, in blocks of 64 KiB. Neighbours are joined. */
export function dataRuns(bytes: Uint8Array): [start: number, end: number][] {
  const runs: [number, number][] = [];
  for (let start = 0; start < bytes.length; start += ZERO_BLOCK) {
    const end = Math.min(start + ZERO_BLOCK, bytes.length);
    if (isZero(bytes, start, end)) continue;
    const last = runs.at(-1);
    if (last?.[1] === start) last[1] = end;
    else runs.push([start, end]);
  }
  return runs;
}
