// What `verify --source` verifies: a plan of everything that a bucket holds, or of one state of each VM. It has no targets.
import { knownCheckpoint, LISTED } from '../catalog/chain.ts';
import { vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import type { VmIndex } from '../catalog/vm-index.ts';
import { affordableTasks } from '../chain/handles.ts';
import { LookedUp, type StateRef, VmLookUp } from '../chain/look-up.ts';
import type { ResolvedDisks } from '../chain/resolve.ts';
import { mapBounded } from '../concurrency.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { loadBackups, loadState, nothingSelected, selectVms, type VmCandidate } from '../inventory/select-vms.ts';
import { loadVmCheckpoint } from '../inventory/vm-backup.ts';
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
  /** The plan's chains, looked up while the documents of each VM were in memory. */
  readonly resolved: ResolvedDisks;
  /** Of documents that cannot be read, and of VMs and backups whose disks are not known: `pvc` is the VM then, or `vm@backup`. */
  readonly problems: readonly Problem[];
}

/** Rejects with BACKUP_NOT_FOUND for an unknown backup or checkpoint and a source without backups, and as the store does. */
export async function planOfBucket(store: ObjectStore, options: BucketPlanOptions): Promise<BucketPlan> {
  const { source, disks } = options;
  const lookedUp = new LookedUp();
  const { pvcs, problems } = await findPvcs(store, lookedUp, options);
  const [first, ...rest] = pvcs.filter((pvc) => isWanted(pvc, disks));
  const known = new Set(pvcs.flatMap(namesOf));
  const unknown = (disks ?? []).filter((disk) => !known.has(disk));
  const found = [...problems, ...unknown.map((disk) => unknownDisk(store, disk, [...known]))];
  if (first === undefined) return { plan: undefined, resolved: lookedUp.of([]), problems: found };
  const wanted = [first, ...rest] as const;
  return { plan: { version: 1, source, pvcs: wanted }, resolved: lookedUp.of(wanted), problems: found };
}

function isWanted(pvc: BucketPvc, disks: readonly string[] | undefined): boolean {
  return disks === undefined || namesOf(pvc).some((name) => disks.includes(name));
}

function namesOf(pvc: BucketPvc): string[] {
  return [diskOf(pvc), qualifiedName(pvc.vm, diskOf(pvc))];
}

function unknownDisk(store: ObjectStore, disk: string, known: readonly string[]): Problem {
  const near = closestMatch(disk, known);
  return {
    code: 'BACKUP_NOT_FOUND',
    message: `disk ${disk} not found in ${store.description}; found: ${listNames(known)}`,
    hint: near === undefined ? 'choose one of those with --pvc' : `did you mean --pvc ${near}?`,
  };
}

type BucketPvc = PlanPvc & { readonly vm: VmRef };

interface FoundPvcs {
  readonly pvcs: readonly BucketPvc[];
  readonly problems: readonly Problem[];
}

/** Every PVC, and in `lookedUp` the disks of those that are wanted. */
async function findPvcs(store: ObjectStore, lookedUp: LookedUp, options: BucketPlanOptions): Promise<FoundPvcs> {
  const { vms: patterns, states, disks, progress, signal } = options;
  const lookUp = async ({ pvcs, ofVm }: PvcsOfVm, inner: AbortSignal): Promise<void> => {
    for (const { pvc, state } of pvcs) {
      if (ofVm !== undefined && isWanted(pvc, disks)) await lookedUp.add(pvc, () => ofVm.disk(pvc, state), inner);
    }
  };
  if (typeof states === 'object' && 'checkpoint' in states) {
    const { vm, checkpoint } = states;
    const found = await loadVmCheckpoint(store, states, { progress, signal });
    const ofVm = new VmLookUp(vm, { store, progress, signal });
    ofVm.add({ checkpoint }, found);
    const pvcs = toPvcs(vm, { checkpoint }, { disks: disksAt(found.index, found.tip), suffix: '' });
    await lookUp({ pvcs, ofVm }, signal);
    return { pvcs: pvcs.map(({ pvc }) => pvc), problems: [] };
  }
  const backup = typeof states === 'object' ? states.backup : undefined;
  const selected = await selectVms(store, { patterns, backup, progress, signal });
  const limit = affordableTasks(VMS);
  const answers = await mapBounded(selected.candidates, { limit, signal }, async (candidate, inner) => {
    const problems: Problem[] = [];
    const own = { progress, signal: inner };
    const found = await collectFor(problems, vmText(candidate.vm), inner, () =>
      states === 'all' ? pvcsOfAll(store, candidate, { problems, ...own }) : pvcsOfState(store, candidate, own),
    );
    await lookUp(found ?? NOTHING, inner);
    return { pvcs: (found ?? NOTHING).pvcs.map(({ pvc }) => pvc), problems };
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

interface PvcInState {
  readonly pvc: BucketPvc;
  readonly state: StateRef;
}

interface PvcsOfVm {
  readonly pvcs: readonly PvcInState[];
  /** Where their chains are looked up; undefined without PVCs. */
  readonly ofVm: VmLookUp | undefined;
}

const NOTHING: PvcsOfVm = { pvcs: [], ofVm: undefined };

async function pvcsOfState(store: ObjectStore, candidate: VmCandidate, options: Options): Promise<PvcsOfVm> {
  const { vm } = candidate;
  const state = await loadState(store, candidate, options);
  if (state === undefined) return NOTHING;
  const { backup, found } = state;
  const ofVm = new VmLookUp(vm, { store, ...options });
  ofVm.add({ backup }, found);
  return { pvcs: toPvcs(vm, { backup }, { disks: disksAt(found.index, found.tip), suffix: '' }), ofVm };
}

async function pvcsOfAll(
  store: ObjectStore,
  candidate: VmCandidate,
  { problems, ...options }: Options & { readonly problems: Problem[] },
): Promise<PvcsOfVm> {
  const { vm } = candidate;
  const loaded = await loadBackups(store, candidate, options);
  if (loaded === undefined) return NOTHING;
  const { index, tips } = loaded;
  const ofVm = new VmLookUp(vm, { store, ...options }, { index });
  const pvcs: PvcInState[] = [];
  for (const [backup, tip] of tips) {
    const suffix = `@${backup}`;
    const disks = await collectFor(problems, `${vmText(vm)}${suffix}`, options.signal, async () => {
      if (index.byId.has(tip)) return disksAt(index, tip);
      const found = await ofVm.state({ backup });
      return disksAt(found.index, found.tip);
    });
    pvcs.push(...toPvcs(vm, { backup }, { disks: disks ?? [], suffix }));
  }
  return { pvcs, ofVm };
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
  state: StateRef,
  { disks, suffix }: { readonly disks: readonly string[]; readonly suffix: string },
): PvcInState[] {
  // No target is looked at; a plan must have one.
  return disks.map((disk) => {
    const name = `${qualifiedName(vm, disk)}${suffix}`;
    return { pvc: { name, disk, vm, ...state, target: `/dev/null/${name}` }, state };
  });
}
