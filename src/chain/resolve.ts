// The disks of a plan with their chains: those written out are taken as they are, others are found in the bucket.
import type { CatalogChain } from '../catalog/chain.ts';
import { listNames } from '../catalog/names.ts';
import { runBounded } from '../concurrency.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { loadOrRebuildIndex, loadVmBackup, loadVmCheckpoint, type VmBackup } from '../inventory/vm-backup.ts';
import { placeholderProblems } from '../plan/placeholder.ts';
import type { Plan, PlanPvc } from '../plan/plan.ts';
import { backupOf, diskOf, vmOf } from '../plan/vms.ts';
import { problemsOf } from '../problems.ts';
import { type Progress, silentProgress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import type { ChainOrigin, Disk, Layer } from './disk.ts';
import { type FoundChain, findChain } from './find-chain.ts';
import { affordableTasks } from './handles.ts';

export interface ResolveOptions {
  /** Just these PVCs; undefined for all. USAGE for one that the plan does not hold. */
  readonly pvcs?: readonly string[] | undefined;
  /** Refuse (PLAN_INVALID) a PVC whose target is still the placeholder of a drafted plan; its chain is resolved all the same. */
  readonly targetsUsed?: boolean;
  readonly progress?: Progress;
  readonly signal: AbortSignal;
}

export interface ResolvedDisks {
  /** In the plan's order. */
  readonly disks: Disk[];
  /** Of single PVCs, and without a PVC what concerns the command line or the whole source. */
  readonly problems: Problem[];
}

/**
 * Resolves the chain of every PVC. What is wrong with the backup or one of its chains (CHAIN_BROKEN, METADATA_INVALID,
 * BACKUP_NOT_FOUND, OBJECT_MISSING) is a problem of its PVC; a source that does not answer or denies access is one problem, and
 * the chains that are written out are resolved without it; without a store, these alone.
 */
export async function resolveDisks(
  plan: Plan,
  store: ObjectStore | undefined,
  { pvcs, targetsUsed = false, progress = silentProgress, signal }: ResolveOptions,
): Promise<ResolvedDisks> {
  const selected = selectPvcs(plan, pvcs);
  const groups = [...Map.groupBy(selected, (pvc) => JSON.stringify(vmOf(plan, pvc))).values()];
  const answers = new Map<PlanPvc, Disk | readonly Problem[]>();
  const ofSource = new Set<readonly Problem[]>();
  // A source that does not answer is asked for one VM after another no more.
  let unreachable: DatamoverError | undefined;
  await runBounded(groups, { limit: affordableTasks(VMS), signal }, async (group, inner) => {
    const load = backupLoader(plan, { store, progress, signal: inner });
    const lookUp = async (pvc: PlanPvc): Promise<Found> => {
      if (unreachable !== undefined) throw unreachable;
      const { backup, from } = await load(pvc);
      return { backup, chain: await findChain(from, backup, diskOf(pvc), { signal: inner }) };
    };
    for (const pvc of group) {
      if (store === undefined && pvc.chain === undefined) continue;
      try {
        answers.set(pvc, await toDisk(pvc, lookUp));
      } catch (error) {
        inner.throwIfAborted();
        const found = problemsOf(error);
        if (error instanceof DatamoverError && error.code === 'SOURCE_UNREACHABLE') unreachable ??= error;
        if (!EXPECTED_CODES.has(found[0]?.code ?? '')) ofSource.add(found);
        else
          answers.set(
            pvc,
            found.map((problem) => ({ ...problem, pvc: pvc.name })),
          );
      }
    }
  });
  const disks: Disk[] = [];
  const problems: Problem[] = [...unknownPvcs(plan, pvcs), ...(targetsUsed ? placeholderProblems(plan, { pvcs }) : [])];
  for (const pvc of selected) {
    const answer = answers.get(pvc) ?? [];
    if ('layers' in answer) disks.push(answer);
    else problems.push(...answer);
  }
  // Several VMs may have met the same failure of the source at the same time.
  const failures = new Map([...ofSource].flat().map((problem) => [JSON.stringify(problem), problem]));
  return { disks, problems: [...problems, ...failures.values()] };
}

/** VMs that are looked up at a time. */
const VMS = 16;

/** The PVCs of the plan that `names` names, all when it is undefined, in the plan's order. */
export function selectPvcs({ pvcs }: Plan, names: readonly string[] | undefined): readonly PlanPvc[] {
  const wanted = names && new Set(names);
  return pvcs.filter(({ name }) => wanted === undefined || wanted.has(name));
}

/** USAGE for names that the plan does not hold. */
function unknownPvcs(plan: Plan, names: readonly string[] = []): Problem[] {
  const known = plan.pvcs.map(({ name }) => name);
  const inPlan = new Set(known);
  const unknown = names.filter((name) => !inPlan.has(name));
  const [first] = unknown;
  if (first === undefined) return [];
  const near = closestMatch(first, known);
  const message = `PVC ${unknown.join(', ')} not found in the plan; found: ${listNames(known)}`;
  const hint = near === undefined ? 'choose one of those with --pvc' : `did you mean --pvc ${near}?`;
  return [{ code: 'USAGE', message, hint }];
}

interface Found {
  readonly backup: VmBackup;
  readonly chain: FoundChain;
}

async function toDisk(pvc: PlanPvc, lookUp: (pvc: PlanPvc) => Promise<Found>): Promise<Disk> {
  const { name, disk, target, size, chain } = pvc;
  const base = { name, target, ...(disk === undefined ? {} : { disk }), ...(size === undefined ? {} : { size }) };
  if (chain !== undefined) {
    const [first, ...rest] = chain;
    return { ...base, layers: [writtenLayer(first), ...rest.map(writtenLayer)] };
  }
  const found = await lookUp(pvc);
  return { ...base, layers: layersOf(found.chain), origin: originOf(found.backup, found.chain) };
}

/** What a chain that was looked up rests on. */
export function originOf({ index }: VmBackup, { base, order, file, tip }: FoundChain): ChainOrigin {
  const entry = index.byId.get(tip.checkpoint)?.[0];
  return { base, order, file, facts: entry?.flaw === undefined ? entry?.facts : undefined };
}

type WrittenLayer = NonNullable<PlanPvc['chain']>[number];

function writtenLayer({ checkpoint, type, object, size, sha256 }: WrittenLayer): Layer {
  return {
    checkpoint,
    type,
    object,
    ...(size === undefined ? {} : { size }),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

export function layersOf({ layers: [first, ...rest] }: CatalogChain): Disk['layers'] {
  return [foundLayer(first), ...rest.map(foundLayer)];
}

function foundLayer({ checkpoint, type, file }: CatalogChain['tip']): Layer {
  const { object, size } = file;
  return { checkpoint, type, object, ...(size === undefined ? {} : { size }) };
}

interface LoadOptions {
  readonly store: ObjectStore | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

interface LoadedBackup {
  readonly backup: VmBackup;
  readonly from: ObjectStore;
}

/** Looks up backups of one VM, each once; its index is read for the first of them. */
function backupLoader(plan: Plan, { store, progress, signal }: LoadOptions): (pvc: PlanPvc) => Promise<LoadedBackup> {
  const loaded = new Map<string, Promise<LoadedBackup>>();
  let index: Promise<VmBackup['index']> | undefined;
  const find = async (from: ObjectStore, vm: VmRef, pvc: PlanPvc): Promise<VmBackup> => {
    const { checkpoint } = pvc;
    if (checkpoint !== undefined) return await loadVmCheckpoint(from, { vm, checkpoint }, { progress, signal });
    const backup = backupOf(plan, pvc);
    if (backup === undefined) throw new TypeError('a chain to look up, but no backup');
    index ??= loadOrRebuildIndex(from, vm, { progress, signal });
    return await loadVmBackup(from, { vm, backup, known: await index }, { progress, signal });
  };
  const load = async (pvc: PlanPvc): Promise<LoadedBackup> => {
    const vm = vmOf(plan, pvc);
    if (vm === undefined || store === undefined) throw new TypeError('a chain to look up, but no vm');
    const found = await find(store, vm, pvc);
    reportRebuilt(found.index, progress);
    return { backup: found, from: store };
  };
  return async (pvc) => {
    const state = JSON.stringify([backupOf(plan, pvc) ?? null, pvc.checkpoint ?? null]);
    const loading = loaded.get(state) ?? load(pvc);
    loaded.set(state, loading);
    return await loading;
  };
}

/** Says that an index was rebuilt, and from what. */
export function reportRebuilt({ rebuilt }: VmBackup['index'], progress: Progress): void {
  if (rebuilt === undefined) return;
  progress.report({ type: 'warning', message: rebuilt.lost.message });
  for (const message of rebuilt.notes) progress.report({ type: 'info', message });
}

/** What concerns the PVC whose chain was looked up; any other failure is the source's. */
const EXPECTED_CODES: ReadonlySet<string> = new Set([
  'CHAIN_BROKEN',
  'METADATA_INVALID',
  'BACKUP_NOT_FOUND',
  'OBJECT_MISSING',
  'USAGE',
]);
