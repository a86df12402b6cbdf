// What `verify --source` verifies: a plan of everything that a bucket holds, or of one state of each VM. It has no targets.
import { knownCheckpoint, LISTED } from '../catalog/chain.ts';
import { vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import type { VmIndex } from '../catalog/vm-index.ts';
import { affordableTasks } from '../chain/handles.ts';
import { mapBounded } from '../concurrency.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { loadBackups, loadState, nothingSelected, selectVms, type VmCandidate } from '../inventory/select-vms.ts';
import { loadVmBackup, loadVmCheckpoint } from '../inventory/vm-backup.ts';
import type { Plan, PlanPvc, PlanSource } from '../plan/plan.ts';
import { diskOf, qualifiedName } from '../plan/vms.ts';
import { problemsOf } from '../problems.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmPattern } from '../vm-pattern.ts';
import type { VmRef } from '../vm-ref.ts';

export interface BucketPlanOptions {
  readonly source: PlanSource;
  /** None is every VM. */
  readonly vms: readonly VmPattern[];
  /** `all`: every backup of each VM. */
  readonly states: { readonly backup: string } | VmCheckpoint | 'latest' | 'all';
  /** Only these disks, by name or `namespace/vm/disk`; undefined for all. */
  readonly disks?: readonly string[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** One checkpoint of one VM, whether a backup contains it or not. */
interface VmCheckpoint {
  readonly vm: VmRef;
  readonly checkpoint: string;
}

export interface BucketPlan {
  /** Undefined where nothing can be verified. A PVC is named `namespace/vm/disk`, with `@backup` where each has several. */
  readonly plan: Plan | undefined;
  /** Of documents that cannot be read, and of VMs and backups whose disks are not known: `pvc` is the VM then, or `vm@backup`. */
  readonly problems: readonly Problem[];
}

/** Rejects with BACKUP_NOT_FOUND for an unknown backup or checkpoint and a source without backups, and as the store does. */
export async function planOfBucket(store: ObjectStore, options: BucketPlanOptions): Promise<BucketPlan> {
  const { source, disks } = options;
  const { pvcs, problems } = await findPvcs(store, options);
  const known = pvcs.map((pvc) => ({ pvc, names: [diskOf(pvc), qualifiedName(pvc.vm, diskOf(pvc))] }));
  const [first, ...rest] = known
    .filter(({ names }) => disks === undefined || disks.some((disk) => names.includes(disk)))
    .map(({ pvc }) => pvc);
  const all = known.flatMap(({ names }) => names);
  const unknown = (disks ?? []).filter((disk) => !all.includes(disk)).map((disk) => unknownDisk(store, disk, all));
  const found = [...problems, ...unknown];
  return { plan: first === undefined ? undefined : { version: 1, source, pvcs: [first, ...rest] }, problems: found };
}

function unknownDisk(store: ObjectStore, disk: string, known: readonly string[]): Problem {
  const near = closestMatch(disk, known);
  return {
    code: 'BACKUP_NOT_FOUND',
    message: `disk ${disk} not found in ${store.description}; found: ${listNames([...new Set(known)])}`,
    hint: near === undefined ? 'choose one of those with --pvc' : `did you mean --pvc ${near}?`,
  };
}

type BucketPvc = PlanPvc & { readonly vm: VmRef };

interface FoundPvcs {
  readonly pvcs: readonly BucketPvc[];
  readonly problems: readonly Problem[];
}

async function findPvcs(store: ObjectStore, options: BucketPlanOptions): Promise<FoundPvcs> {
  const { vms: patterns, states, progress, signal } = options;
  if (typeof states === 'object' && 'checkpoint' in states) {
    const { vm, checkpoint } = states;
    const { index, tip } = await loadVmCheckpoint(store, states, { progress, signal });
    return { pvcs: toPvcs(vm, { checkpoint }, { disks: disksAt(index, tip), suffix: '' }), problems: [] };
  }
  const backup = typeof states === 'object' ? states.backup : undefined;
  const selected = await selectVms(store, { patterns, backup, progress, signal });
  const limit = affordableTasks(VMS);
  const answers = await mapBounded(selected.candidates, { limit, signal }, async (candidate, inner) => {
    const problems: Problem[] = [];
    const pvcs = await collectFor(problems, vmText(candidate.vm), inner, () =>
      states === 'all'
        ? pvcsOfAll(store, candidate, { problems, progress, signal: inner })
        : pvcsOfState(store, candidate, { progress, signal: inner }),
    );
    return { pvcs: pvcs ?? [], problems };
  });
  const problems = [...selected.problems, ...answers.flatMap((answer) => answer.problems)];
  const pvcs = answers.flatMap((answer) => answer.pvcs);
  if (pvcs.length === 0 && problems.length === 0) throw await nothingSelected(store, { backup }, { signal });
  return { pvcs, problems };
}

/** VMs at a time. */
const VMS = 16;

interface Options {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

async function pvcsOfState(store: ObjectStore, candidate: VmCandidate, options: Options): Promise<BucketPvc[]> {
  const state = await loadState(store, candidate, options);
  if (state === undefined) return [];
  const { backup, found } = state;
  return toPvcs(candidate.vm, { backup }, { disks: disksAt(found.index, found.tip), suffix: '' });
}

async function pvcsOfAll(
  store: ObjectStore,
  candidate: VmCandidate,
  { problems, ...options }: Options & { readonly problems: Problem[] },
): Promise<BucketPvc[]> {
  const loaded = await loadBackups(store, candidate, options);
  const pvcs: BucketPvc[] = [];
  for (const [backup, tip] of loaded?.tips ?? []) {
    const suffix = `@${backup}`;
    const disks = await collectFor(problems, `${vmText(candidate.vm)}${suffix}`, options.signal, async () => {
      const known = loaded?.index;
      if (known?.byId.has(tip)) return disksAt(known, tip);
      const found = await loadVmBackup(store, { vm: candidate.vm, backup, known }, options);
      return disksAt(found.index, found.tip);
    });
    pvcs.push(...toPvcs(candidate.vm, { backup }, { disks: disks ?? [], suffix }));
  }
  return pvcs;
}

/** As `collect`, for problems that concern more than a disk; a source that does not answer rejects. */
async function collectFor<T>(
  problems: Problem[],
  name: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DatamoverError && error.code === 'SOURCE_UNREACHABLE') throw error;
    problems.push(...problemsOf(error).map((problem) => ({ ...problem, pvc: name })));
    return undefined;
  }
}

function disksAt(index: VmIndex, tip: string): string[] {
  return [...new Set(knownCheckpoint(index, tip, LISTED).files.map(({ disk }) => disk))];
}

function toPvcs(
  vm: VmRef,
  state: Pick<PlanPvc, 'backup' | 'checkpoint'>,
  { disks, suffix }: { readonly disks: readonly string[]; readonly suffix: string },
): BucketPvc[] {
  // No target is looked at; a plan must have one.
  return disks.map((disk) => {
    const name = `${qualifiedName(vm, disk)}${suffix}`;
    return { name, disk, vm, ...state, target: `/dev/null/${name}` };
  });
}
