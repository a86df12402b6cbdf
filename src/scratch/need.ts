// How much scratch one PVC takes (design section 5): the one formula behind checks, plans and manifests.

import type { Strategy } from '../strategy.ts';
import { alignUp, GiB, MiB } from '../units.ts';

export interface ScratchNeedOptions {
  readonly strategy: Strategy;
  /** Bytes of each layer. */
  readonly layerSizes: readonly number[];
  /** The most bytes that the raw image can occupy: the disk's size, or the data in it where that is known. */
  readonly virtualSize: number;
  /** Percent added, ≥ 0. */
  readonly headroomPercent: number;
}

/**
 * Bytes of scratch recommended for one PVC, headroom included; PVCs come one after another, so a plan needs the largest of them.
 * `stream` keeps no layer: 0 (its few MiB of sockets and journal lie in the runtime folder).
 */
export function scratchNeed({ strategy, layerSizes, virtualSize, headroomPercent }: ScratchNeedOptions): number {
  if (strategy === 'stream') return 0;
  const layers = sumOf(layerSizes);
  const bytes = strategy === 'staged-raw' ? layers + virtualSize : layers;
  return Math.ceil(bytes * (1 + headroomPercent / 100));
}

/**
 * Bytes of scratch without which one PVC cannot be restored. The raw image of `staged-raw` is sparse and counts only where
 * files have no holes: a disk of any size may hold nothing but zeros, also where its layers store them.
 */
export function minScratchNeed(
  { strategy, layerSizes, virtualSize }: Omit<ScratchNeedOptions, 'headroomPercent'>,
  { sparse }: { readonly sparse: boolean },
): number {
  if (strategy === 'stream') return 0;
  return sumOf(layerSizes) + (strategy === 'staged-raw' && !sparse ? virtualSize : 0);
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Bytes to ask of a scratch PVC so that its file system has `need` bytes free: whole GiB, 0 for 0. An ext4 made with
 * mke2fs's defaults keeps 5 % for root and takes 1.6 % for inodes and up to 64 MiB (small) or 1 GiB (large) for its journal.
 */
export function scratchVolumeSize(need: number): number {
  if (need === 0) return 0;
  return alignUp(Math.ceil(need * 1.1) + 128 * MiB, GiB);
}
