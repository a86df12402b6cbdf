// `plan`: from a backup in the bucket to a plan with its chains written out, which runs unchanged.

import type { VmIndex } from '../catalog/vm-index.ts';
import { reportRebuilt } from '../chain/look-up.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { noBackupOf } from '../inventory/not-found.ts';
import { loadOrRebuildIndex, loadVmBackup, loadVmCheckpoint, type VmBackup, withLoss } from '../inventory/vm-backup.ts';
import { loadTips } from '../inventory/vm-manifest.ts';
import type { Plan } from '../plan/plan.ts';
import { writePlan } from '../plan/write.ts';
import { silentProgress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { withChecksums } from './checksums.ts';
import { describeDraft, describeState } from './comments.ts';
import { chooseDisks } from './disks.ts';
import { atLeastOne, checkDisks, type DraftCommon, planHead, resolveAll, throwUnlessSkipped, toPvc } from './pvcs.ts';

/** PVCs by their disks' names or their own. */
export interface DraftOptions extends DraftCommon {
  readonly vm: VmRef;
  /** In place of a backup; with neither, the newest backup that holds the VM is drafted. */
  readonly checkpoint?: string | undefined;
}

export interface DraftedPlan {
  /** Commented. */
  readonly yaml: string;
  readonly plan: Plan;
  /** Of what was skipped because it cannot be restored. */
  readonly problems: readonly Problem[];
}

/**
 * Resolves and checks every layer (one small read each, so that sizes are exact), and writes the plan.
 * BACKUP_NOT_FOUND, METADATA_INVALID, CHAIN_BROKEN, and what the check of layers finds, all problems at once, unless what cannot be
 * restored is skipped and something is left; a missing
 * layer's hint says what is lost with it. USAGE for names or targets given twice.
 */
export async function draftPlan(store: ObjectStore, options: DraftOptions): Promise<DraftedPlan> {
  const { vm, progress = silentProgress, signal } = options;
  if (options.backup !== undefined && options.checkpoint !== undefined) {
    const hint = 'use --backup or --checkpoint, not both';
    throw new DatamoverError('USAGE', '--backup cannot be combined with --checkpoint', { hint });
  }
  const { backup, found } = await findState(store, options);
  reportRebuilt(found.index, progress);
  const resolved = await resolveAll(store, { found, pvcs: chooseDisks(found, options.pvcs), signal });
  const checked = await checkDisks(store, resolved.disks, options);
  const problems = [...resolved.problems, ...checked.problems];
  throwUnlessSkipped(problems, { ...options, left: checked.chains.length });
  const chains = await withChecksums(checked.chains, options.takeChecksums);
  const plan: Plan = {
    ...planHead(options, chains),
    ...(backup === undefined ? {} : { backup }),
    vm,
    pvcs: atLeastOne(chains.map((chain) => toPvc(chain))),
  };
  const drafted = { chains, what: describeState(plan, found), skipped: problems };
  return { yaml: writePlan(plan, describeDraft(plan, drafted)), plan, problems };
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
  if (newest === undefined) throw withLoss(index, noBackupOf(store, index));
  return newest;
}
