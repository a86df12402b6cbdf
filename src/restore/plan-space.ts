// What the check of space is asked: every PVC whose layers are read, also one with other problems, as far as its sizes are known.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SourceAnswer } from '../chain/ask-source.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { selectPvcs } from '../chain/resolve.ts';
import type { Problem } from '../errors.ts';
import { headroomPercentOf, type PlanPvc } from '../plan/plan.ts';
import type { ReusableBytes } from '../scratch/layout.ts';
import { fitsSocket, withRuntimeFolder } from '../scratch/runtime-folder.ts';
import type { Strategy } from '../strategy.ts';
import { shownBytes } from '../stream/shown-bytes.ts';
import { STREAM_CONCURRENCY } from '../stream/stream.ts';
import type { Target } from '../target/target.ts';
import type { RestoreOptions } from './options.ts';
import type { DiskToFit, LeftOfPvc, SpaceOptions } from './preflight-space.ts';

export interface PlanSpaceOptions {
  readonly options: RestoreOptions;
  readonly answer: SourceAnswer;
  /** Targets that could be opened, by PVC; undefined for one that is not written to. */
  readonly targets: ReadonlyMap<string, Target | undefined>;
  /** PVCs of which nothing is read. */
  readonly idle: ReadonlySet<string>;
  readonly scratch: string | undefined;
  readonly folder: { readonly path: string; readonly left: ReusableBytes; readonly freed?: number } | undefined;
  /** The run's own work directory, which the next run of the plan cleans up; undefined for a dry run. */
  readonly own: string | undefined;
  readonly signal: AbortSignal;
}

/** Where scratch space is looked for. A directory that cannot be used is no place for it, unless all that it lacks is space. */
export function scratchToCheck(found: {
  readonly strategy: Strategy;
  readonly root: string | undefined;
  readonly folder: object | undefined;
  readonly problems: readonly Problem[];
}): string | undefined {
  if (found.strategy === 'stream') return undefined;
  const isUsable = found.folder !== undefined || found.problems.some(({ code }) => code === 'SCRATCH_FULL');
  return isUsable ? found.root : undefined;
}

export function planSpace(asked: PlanSpaceOptions): SpaceOptions {
  const { options, answer, targets, idle, scratch, folder } = asked;
  const { plan, pvcs, strategy, checksums } = options;
  const chainOf = (pvc: string): CheckedChain | undefined => answer.chains.find(({ disk }) => disk.name === pvc);
  const toFit = (pvc: PlanPvc): DiskToFit[] => {
    const { name } = pvc;
    const chain = chainOf(name);
    const disk = answer.disks.find((one) => one.name === name);
    const layerSizes = chain === undefined ? declaredSizes(disk) : chain.layers.map(({ info }) => info.size);
    if (layerSizes === undefined || idle.has(name)) return [];
    return [{ name, layerSizes, virtualSize: chain?.virtualSize ?? pvc.size, target: targets.get(name) }];
  };
  const selected = new Set(selectPvcs(plan, pvcs).map(({ name }) => name));
  const left = plan.pvcs.flatMap(({ name: pvc }, place): LeftOfPvc[] => {
    const bytes = folder?.left.of(place) ?? 0;
    return folder === undefined || bytes === 0 ? [] : [{ pvc, path: join(folder.path, String(place)), bytes }];
  });
  return {
    disks: selectPvcs(plan, pvcs).flatMap(toFit),
    strategy,
    headroomPercent: headroomPercentOf(plan),
    scratch,
    left: new Map(left.filter(({ pvc }) => selected.has(pvc)).map(({ pvc, bytes }) => [pvc, bytes])),
    leftOfOthers: left.filter(({ pvc }) => !selected.has(pvc)),
    freed: folder?.freed ?? 0,
    shownBytes: async (pvc) => await mapChain(asked, chainOf(pvc)),
    streamable: !checksums || answer.disks.every(({ layers }) => layers.every(({ sha256 }) => sha256 === undefined)),
  };
}

/** Of the layers as the plan or the index declares them; undefined unless it does for all. */
function declaredSizes(disk: Disk | undefined): readonly number[] | undefined {
  const sizes = disk?.layers.flatMap(({ size }) => size ?? []);
  return sizes?.length === disk?.layers.length ? sizes : undefined;
}

/** What the chain shows, from its tables; undefined where they cannot be read. What is wrong with them is the run's to find. */
async function mapChain(
  { options, own, answer: { store }, signal }: PlanSpaceOptions,
  chain: CheckedChain | undefined,
): Promise<number | undefined> {
  if (store === undefined || chain === undefined) return undefined;
  try {
    return await withSocketFolder(options, own, async (folder) => {
      const { concurrency = STREAM_CONCURRENCY } = options;
      return await shownBytes({ store, chain, folder, concurrency, signal });
    });
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** In the work directory where a socket's path fits: what a killed run leaves in a runtime directory, no later one removes. */
async function withSocketFolder<T>(
  options: RestoreOptions,
  own: string | undefined,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = own === undefined ? undefined : join(own, 'map');
  if (folder === undefined || !fitsSocket(folder)) return await withRuntimeFolder(options, work);
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
