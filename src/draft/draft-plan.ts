// `plan`: from a backup in the bucket to a plan with its chains written out, which runs unchanged.

import type { VmIndex } from '../catalog/vm-index.ts';
import { type CheckedChain, checkLayers } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { findChain } from '../chain/find-chain.ts';
import { layersOf, originOf, reportRebuilt } from '../chain/resolve.ts';
import { isUnproven, unprovenProblems } from '../chain/unproven.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { noBackupOf } from '../inventory/not-found.ts';
import { loadOrRebuildIndex, loadVmBackup, loadVmCheckpoint, type VmBackup } from '../inventory/vm-backup.ts';
import { loadTips } from '../inventory/vm-manifest.ts';
import { placeholderTarget } from '../plan/placeholder.ts';
import { DEFAULT_HEADROOM_PERCENT, type Plan, type PlanChain, type PlanPvc, type PlanSource } from '../plan/plan.ts';
import { writePlan } from '../plan/write.ts';
import { type Progress, silentProgress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { describeDraft } from './comments.ts';
import { chooseDisks, type DraftPvc } from './disks.ts';

export interface DraftOptions {
  /** As the plan will name it: a folder absolute. */
  readonly source: PlanSource;
  readonly vm: VmRef;
  /** Which state: a backup, or a checkpoint; neither is the newest backup that holds the VM. */
  readonly backup?: string | undefined;
  readonly checkpoint?: string | undefined;
  /** The disks (by their names or their PVCs') with their targets; none is all of them, with placeholder targets. */
  readonly pvcs: readonly DraftPvc[];
  readonly scratch?: { readonly path?: string; readonly headroomPercent?: number } | undefined;
  /** Write a plan whose order no document proves, marked as such. */
  readonly acceptUnproven?: boolean;
  readonly progress?: Progress;
  readonly signal: AbortSignal;
}

export interface DraftedPlan {
  /** Commented. */
  readonly yaml: string;
  readonly plan: Plan;
}

/**
 * Resolves and checks every layer (one HEAD and one small read each, so that sizes are exact), and writes the plan.
 * BACKUP_NOT_FOUND, METADATA_INVALID, CHAIN_BROKEN, and what the check of layers finds, all problems at once; a missing
 * layer's hint says what is lost with it. USAGE for names or targets given twice.
 */
export async function draftPlan(store: ObjectStore, options: DraftOptions): Promise<DraftedPlan> {
  const { source, vm, scratch, progress = silentProgress, signal } = options;
  if (options.backup !== undefined && options.checkpoint !== undefined) {
    const hint = 'use --backup or --checkpoint, not both';
    throw new DatamoverError('USAGE', '--backup cannot be combined with --checkpoint', { hint });
  }
  const { backup, found } = await findState(store, options);
  reportRebuilt(found.index, progress);
  const disks = await resolveAll(store, { found, pvcs: chooseDisks(found, options.pvcs), signal });
  const { chains, problems } = await checkLayers(store, disks, { signal });
  const unproven = chains.some(({ disk }) => isUnproven(disk));
  const refused = options.acceptUnproven === true ? [] : unprovenProblems(chains.map(({ disk }) => disk));
  if (problems.length + refused.length > 0) throw DatamoverError.fromProblems([...problems, ...refused]);
  const [first, ...rest] = chains.map(toPvc);
  if (first === undefined) throw new TypeError('a plan of no disks');
  const plan: Plan = {
    version: 1,
    source,
    ...scratchOf(scratch),
    ...(unproven ? { order: 'unproven' as const } : {}),
    ...(backup === undefined ? {} : { backup }),
    vm,
    pvcs: [first, ...rest],
  };
  return { yaml: writePlan(plan, describeDraft(plan, { chains, found })), plan };
}

/** Nothing when nothing is said: then flags and environment decide, as for any plan. */
function scratchOf(scratch: DraftOptions['scratch']): Pick<Plan, 'scratch'> {
  const { path, headroomPercent = DEFAULT_HEADROOM_PERCENT } = scratch ?? {};
  if (path === undefined && headroomPercent === DEFAULT_HEADROOM_PERCENT) return {};
  return { scratch: { ...(path === undefined ? {} : { path }), headroomPercent } };
}

interface FoundState {
  readonly backup: string | undefined;
  readonly found: VmBackup;
}

async function findState(
  store: ObjectStore,
  { vm, backup, checkpoint, progress = silentProgress, signal }: DraftOptions,
): Promise<FoundState> {
  const options = { progress, signal };
  if (checkpoint !== undefined) {
    return { backup: undefined, found: await loadVmCheckpoint(store, { vm, checkpoint }, options) };
  }
  if (backup !== undefined) return { backup, found: await loadVmBackup(store, { vm, backup }, options) };
  const known = await loadOrRebuildIndex(store, vm, options);
  const newest = await newestBackup(store, known, signal);
  return { backup: newest, found: await loadVmBackup(store, { vm, backup: newest, known }, options) };
}

async function newestBackup(store: ObjectStore, index: VmIndex, signal: AbortSignal): Promise<string> {
  const { tips, problems } = await loadTips(store, index, { signal });
  // It may be the newest one that cannot be read: an older state is restored when it is asked for, and not unasked.
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  const newest = [...tips.keys()].at(-1);
  if (newest === undefined) throw noBackupOf(index);
  return newest;
}

interface Choice {
  readonly found: VmBackup;
  readonly pvcs: readonly DraftPvc[];
  readonly signal: AbortSignal;
}

async function resolveAll(store: ObjectStore, { found, pvcs, signal }: Choice): Promise<Disk[]> {
  const disks: Disk[] = [];
  const problems: Problem[] = [];
  for (const { name, target } of pvcs) {
    try {
      const chain = await findChain(store, found, name, { signal });
      const place = { name, target: target ?? placeholderTarget(name) };
      disks.push({ ...place, layers: layersOf(chain), origin: originOf(found, chain) });
    } catch (error) {
      if (!(error instanceof DatamoverError)) throw error;
      problems.push(...error.problems.map((problem) => ({ pvc: name, ...problem })));
    }
  }
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  return disks;
}

function toPvc({ disk, layers, virtualSize }: CheckedChain): PlanPvc {
  const written = layers.map(({ layer, info }, index) => {
    const parent = layers[index - 1]?.layer.checkpoint;
    const { checkpoint, type, object } = layer;
    return { checkpoint, type, ...(parent === undefined ? {} : { parent }), object, size: info.size };
  });
  const [first, ...rest] = written;
  if (first === undefined) throw new TypeError('a chain of no layers');
  const chain: PlanChain = [first, ...rest];
  // A volume may be larger than was asked for, and the disk with it: what the PVC must have is the disk's size.
  const size = Math.max(disk.origin?.file?.pvcSize ?? 0, virtualSize);
  return { name: disk.name, target: disk.target, size, chain };
}
