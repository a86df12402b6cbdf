// What a restore occupies on each file system, PVC after PVC, against what that has left. Pure.
import type { FreeSpace } from '../free-space.ts';
import { minScratchNeed, scratchNeed } from '../scratch/need.ts';
import type { SpaceNeed } from '../scratch/space.ts';
import type { Strategy } from '../strategy.ts';
import type { FileFormat } from '../target-file-name.ts';
import { KiB, MiB } from '../units.ts';

export interface DiskSpace {
  readonly name: string;
  /** Bytes of each layer that is downloaded. */
  readonly layerSizes: readonly number[];
  /** The most bytes that the raw disk can occupy in a file. */
  readonly rawBytes: number;
  /** Bytes that an interrupted run of this plan left of it in scratch. */
  readonly leftBytes: number;
  /** The file that it is restored to; undefined for a device, or when nothing is written to it. */
  readonly file: TargetFile | undefined;
}

interface TargetFile {
  readonly path: string;
  readonly format: FileFormat;
  readonly space: FreeSpace;
  /** Bytes that an interrupted run left beside it, which are removed first. */
  readonly leftBytes: number;
}

interface ScratchSpace {
  readonly path: string;
  readonly space: FreeSpace;
  /** Bytes that a run removes there before anything else. */
  readonly freed: number;
}

export interface NeedsOptions {
  /** In the plan's order. */
  readonly disks: readonly DiskSpace[];
  readonly strategy: Strategy;
  readonly headroomPercent: number;
  readonly scratch: ScratchSpace | undefined;
}

/** One need for each PVC in scratch, and one for each file that lies on another file system. */
export function spaceNeeds({ disks, strategy, headroomPercent, scratch }: NeedsOptions): SpaceNeed[] {
  const pools = new Map<string, Pool>();
  const poolOf = ({ pool }: FreeSpace): Pool => {
    const known = pools.get(pool) ?? { certain: 0, wanted: 0, files: 0, left: 0 };
    pools.set(pool, known);
    return known;
  };
  if (scratch !== undefined) poolOf(scratch.space).left += scratch.freed;
  return disks.flatMap(({ name, layerSizes, rawBytes, leftBytes, file }) => {
    const needs: SpaceNeed[] = [];
    if (file !== undefined) {
      const pool = poolOf(file.space);
      pool.left += file.leftBytes;
      pool.wanted += rawBytes + tableBytes(file, rawBytes);
      pool.certain += isThin(file) ? 0 : rawBytes;
      pool.files += file.leftBytes > 0 ? 0 : 1;
      if (file.space.pool !== scratch?.space.pool) {
        needs.push({ pvc: name, where: 'target', path: file.path, file: file.path, ...against(file.space, pool) });
      }
    }
    if (scratch !== undefined) {
      const pool = poolOf(scratch.space);
      pool.left += leftBytes;
      const layers = { strategy, layerSizes, virtualSize: rawBytes };
      const own = {
        ...pool,
        certain: scratch.space.compresses ? 0 : pool.certain + minScratchNeed(layers, scratch.space),
        wanted: pool.wanted + scratchNeed({ ...layers, headroomPercent }),
        // Its directory, and the layers; what was left of them is there already.
        files: pool.files + (leftBytes > 0 ? 0 : layerSizes.length + 1),
      };
      const beside = file?.space.pool === scratch.space.pool ? file.path : undefined;
      needs.push({ pvc: name, where: 'scratch', path: scratch.path, file: beside, ...against(scratch.space, own) });
    }
    return needs;
  });
}

/** Whether zeros take no space in it. */
function isThin({ format, space }: TargetFile): boolean {
  return format === 'qcow2' || space.sparse || space.compresses;
}

/** Of a qcow2 image with 64 KiB clusters: 8 bytes of an L2 table and 2 of a refcount each, and what an empty image has. */
function tableBytes({ format }: TargetFile, rawBytes: number): number {
  return format === 'qcow2' ? Math.ceil(rawBytes / (64 * KiB)) * 10 + MiB : 0;
}

/** What stays on a file system from PVC to PVC. */
interface Pool {
  certain: number;
  wanted: number;
  files: number;
  /** Bytes that earlier runs left and that this one replaces. */
  left: number;
}

function against(
  { pool, bytes, files }: FreeSpace,
  { certain, wanted, files: newFiles, left }: Pool,
): Pick<SpaceNeed, 'pool' | 'certain' | 'wanted' | 'available' | 'missingFiles'> {
  const available = bytes === undefined ? undefined : bytes + left;
  const missingFiles = files === undefined ? 0 : Math.max(0, newFiles - files);
  return { pool, certain, wanted, available, missingFiles };
}
