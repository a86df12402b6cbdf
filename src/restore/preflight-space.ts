// Is there room, before anything is downloaded? Scratch, and the file systems that raw-file targets lie on.
import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { type Problem, systemCode } from '../errors.ts';
import { scratchNeed } from '../scratch/need.ts';
import type { Strategy } from '../strategy.ts';
import type { Target } from '../target/target.ts';
import { formatBytes } from '../units.ts';

export interface SpaceOptions {
  /** Disks whose layers are brought; without the target where that is only read. */
  readonly disks: readonly { readonly chain: CheckedChain; readonly target: Target | undefined }[];
  readonly strategy: Strategy;
  readonly headroomPercent: number;
  /** The scratch folder, which need not exist yet; undefined for `stream`. */
  readonly scratch: string | undefined;
  /** What an interrupted run of this plan left there of a disk, bytes: it counts as free for that disk and later ones. */
  leftOf(disk: Disk): number;
  /** What a run will remove there before all else, bytes. */
  readonly freed: number;
}

export interface SpaceCheck {
  /** Bytes of scratch that the largest PVC needs, headroom included. */
  readonly scratchNeeded: number;
  /** Bytes free there, with what was left by these disks; undefined without scratch. */
  readonly scratchFree: number | undefined;
  readonly problems: readonly Problem[];
}

/** SCRATCH_FULL and TARGET_FULL problems, each with the bytes that are needed and those that are there. */
export async function checkSpace(options: SpaceOptions): Promise<SpaceCheck> {
  const { disks, strategy, headroomPercent, scratch, leftOf, freed } = options;
  const room = scratch === undefined ? undefined : await freeIn(scratch);
  const problems: Problem[] = [];
  const onDevice = new Map<number, { bytes: number; free: number; pvc: string; path: string }>();
  const short: { needed: number; free: number }[] = [];
  let scratchNeeded = 0;
  let filesInScratch = 0;
  let free = (room?.bytes ?? 0) + freed;
  for (const { chain, target } of disks) {
    const { disk, virtualSize, layers } = chain;
    free += leftOf(disk);
    const space = await target?.freeSpace();
    if (space !== undefined && space.device === room?.device) {
      filesInScratch += virtualSize;
      free += space.leftBytes;
    } else if (target !== undefined && space !== undefined) {
      const before = onDevice.get(space.device) ?? { bytes: 0, free: space.bytes };
      onDevice.set(space.device, {
        bytes: before.bytes + virtualSize,
        free: before.free + space.leftBytes,
        pvc: disk.name,
        path: target.path,
      });
    }
    const layerSizes = layers.map(({ info }) => info.size);
    const needed = scratchNeed({ strategy, layerSizes, virtualSize, headroomPercent }) + filesInScratch;
    scratchNeeded = Math.max(scratchNeeded, needed);
    if (needed > free) short.push({ needed, free });
  }
  for (const { bytes, free, pvc, path } of onDevice.values()) {
    if (bytes > free) problems.push(targetFull({ bytes, free, pvc, path }));
  }
  const worst = short.toSorted((a, b) => b.needed - b.free - (a.needed - a.free))[0];
  if (scratch !== undefined && worst !== undefined) problems.push(scratchFull(scratch, worst, strategy));
  return { scratchNeeded, scratchFree: room === undefined ? undefined : free, problems };
}

function scratchFull(
  scratch: string,
  { needed, free }: { readonly needed: number; readonly free: number },
  strategy: Strategy,
): Problem {
  const less =
    strategy === 'staged-raw' ? '--strategy staged needs less, --strategy stream none' : '--strategy stream needs none';
  return {
    code: 'SCRATCH_FULL',
    message: `scratch ${scratch} has ${formatBytes(free)} free (${free} bytes), the largest PVC needs ${formatBytes(needed)} (${needed} bytes)`,
    hint: `give a larger folder with --scratch; ${less}`,
  };
}

function targetFull({ bytes, free, pvc, path }: { bytes: number; free: number; pvc: string; path: string }): Problem {
  return {
    pvc,
    code: 'TARGET_FULL',
    message: `the file system of ${path} has ${formatBytes(free)} free (${free} bytes), the raw files restored there may need ${formatBytes(bytes)} (${bytes} bytes)`,
    hint: 'free space there, or restore onto another file system',
  };
}

/** Free bytes for us, and the file system's device, at `path` or its nearest folder that can be looked at. */
export async function freeIn(path: string): Promise<{ bytes: number; device: number }> {
  try {
    const [{ bavail, bsize }, { dev }] = await Promise.all([statfs(path), stat(path)]);
    return { bytes: bavail * bsize, device: dev };
  } catch (error) {
    // Whether the folder itself can be used is asked elsewhere.
    if (systemCode(error) === undefined || dirname(path) === path) throw error;
    return await freeIn(dirname(path));
  }
}
