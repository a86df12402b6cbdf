// Is there enough space, before anything is downloaded? Scratch, and the file systems of file targets. What cannot fit is
// refused, what may be tight is warned of, what a file system does not report is noted (design section 8).
import type { Problem } from '../errors.ts';
import { freeSpaceAt } from '../free-space.ts';
import { fitBetter, hasSpace, type SpaceNeed, type SpaceNote, worstNeeds } from '../scratch/space.ts';
import { noteOf, spaceProblem } from '../scratch/space-words.ts';
import type { Strategy } from '../strategy.ts';
import type { Target } from '../target/target.ts';
import { type DiskSpace, spaceNeeds } from './space-needs.ts';

/** A disk whose layers are read. */
export interface DiskToFit {
  readonly name: string;
  /** Bytes of each layer. */
  readonly layerSizes: readonly number[];
  /** Bytes; undefined while its chain is unknown. */
  readonly virtualSize: number | undefined;
  /** Undefined where nothing is written to it. */
  readonly target: Target | undefined;
}

export interface SpaceOptions {
  readonly disks: readonly DiskToFit[];
  readonly strategy: Strategy;
  readonly headroomPercent: number;
  /** The scratch directory, which need not exist yet; undefined for `stream`. */
  readonly scratch: string | undefined;
  /**
   * Bytes that an interrupted run left there, by each PVC of this run that it left any of. They count as free for that PVC and
   * later ones, or, where that is not enough, for all: they are removed then before anything is downloaded.
   */
  readonly left: ReadonlyMap<string, number>;
  /** What it left of PVCs that this run leaves out: never removed, and never free. */
  readonly leftOfOthers: readonly LeftOfPvc[];
  /** Bytes that a run will remove there before all else. */
  readonly freed: number;
  /**
   * Bytes of data that a PVC's chain shows, the most that they occupy in a sparse file; undefined when that cannot be found out.
   * Asked only where the disk's size does not fit.
   */
  shownBytes(pvc: string): Promise<number | undefined>;
  /** Whether `stream` would take the plan as it is. */
  readonly streamable: boolean;
}

export interface LeftOfPvc {
  readonly pvc: string;
  readonly path: string;
  readonly bytes: number;
}

export interface SpaceCheck {
  /** Bytes of scratch that the largest PVC needs, headroom included; 0 for `stream`. */
  readonly scratchNeeded: number;
  /** Bytes free there, with what was left by these disks; undefined without scratch, or when it is not reported. */
  readonly scratchFree: number | undefined;
  readonly needs: readonly SpaceNeed[];
  /** SCRATCH_FULL and TARGET_FULL: what cannot fit, with the bytes that are needed and those that are available. */
  readonly problems: readonly Problem[];
  readonly notes: readonly SpaceNote[];
  /** PVCs whose bytes of an interrupted run must be removed first, since they take the space that another PVC needs. */
  readonly discarded: readonly string[];
}

export async function checkSpace(options: SpaceOptions): Promise<SpaceCheck> {
  const { strategy, headroomPercent, scratch, freed } = options;
  const space = scratch === undefined ? undefined : await freeSpaceAt(scratch);
  const place = scratch === undefined || space === undefined ? undefined : { path: scratch, space, freed };
  const disks = await Promise.all(options.disks.map((disk) => measureDisk(options, disk)));
  const evaluate = (some: readonly DiskSpace[], other = strategy, discarded = 0): SpaceNeed[] => {
    const there = place === undefined ? undefined : { ...place, freed: place.freed + discarded };
    return spaceNeeds({
      disks: some,
      strategy: other,
      headroomPercent,
      scratch: other === 'stream' ? undefined : there,
    });
  };
  let known = disks;
  if (!hasSpace(evaluate(disks))) known = await byData(options, disks);
  const kept = evaluate(known);
  const way = makeWay(options, known);
  const roomier = evaluate(way.disks, strategy, way.bytes);
  const discards = fitBetter(roomier, kept);
  const needs = discards ? roomier : kept;
  const words = {
    headroomPercent,
    alternatives: [
      ...options.leftOfOthers
        .filter(({ bytes }) => hasSpace(evaluate(way.disks, strategy, way.bytes + bytes)))
        .map(({ pvc, path }) => `remove ${path}, which an interrupted run left of PVC ${pvc}`),
      ...cheaper(options)
        .filter((other) => hasSpace(evaluate(known, other)))
        .map((other) => `use --strategy ${other}`),
    ],
  };
  const worst = worstNeeds(needs);
  const inScratch = needs.filter(({ where }) => where === 'scratch');
  return {
    scratchNeeded: Math.max(0, ...inScratch.map(({ wanted }) => wanted)),
    scratchFree: inScratch.length === 0 ? space?.bytes : inScratch.at(-1)?.available,
    needs,
    problems: worst.flatMap((need) => spaceProblem(need, words) ?? []),
    notes: worst.flatMap((need) => noteOf(need, words) ?? []),
    discarded: discards ? way.pvcs : [],
  };
}

/**
 * The disks as they are when all that is left of PVCs other than the first is removed: what is kept of one must never be what keeps another
 * from being restored, since no later run would get further.
 */
function makeWay(
  { left }: SpaceOptions,
  disks: readonly DiskSpace[],
): { readonly pvcs: readonly string[]; readonly bytes: number; readonly disks: readonly DiskSpace[] } {
  const others = [...left].filter(([pvc]) => pvc !== disks[0]?.name);
  const pvcs = others.map(([pvc]) => pvc);
  return {
    pvcs,
    bytes: others.reduce((sum, [, bytes]) => sum + bytes, 0),
    disks: disks.map((disk) => (pvcs.includes(disk.name) ? { ...disk, leftBytes: 0 } : disk)),
  };
}

/** Strategies that take less scratch than the one of the run. */
function cheaper({ strategy, streamable }: SpaceOptions): Strategy[] {
  const others: readonly Strategy[] = strategy === 'staged-raw' ? ['staged', 'stream'] : ['stream'];
  return others.filter((other) => other !== strategy && (other !== 'stream' || streamable));
}

async function measureDisk({ left }: SpaceOptions, disk: DiskToFit): Promise<DiskSpace> {
  const { name, layerSizes, virtualSize = 0, target } = disk;
  const room = await target?.freeSpace();
  const file =
    target === undefined || room === undefined ? undefined : { path: target.path, format: target.format, ...room };
  return { name, layerSizes, rawBytes: virtualSize, leftBytes: left.get(name) ?? 0, file };
}

/** With the data that the chains show in place of the disks' sizes, where a raw form of the disk is stored. */
async function byData(options: SpaceOptions, disks: readonly DiskSpace[]): Promise<DiskSpace[]> {
  const found: DiskSpace[] = [];
  for (const disk of disks) {
    const isStored = options.strategy === 'staged-raw' || disk.file !== undefined;
    const shown = isStored ? await options.shownBytes(disk.name) : undefined;
    found.push({ ...disk, rawBytes: Math.min(disk.rawBytes, shown ?? disk.rawBytes) });
  }
  return found;
}
