// `plan` for several VMs: each is looked up, its chains are checked, and its documents are dropped before the next; what stays in
// memory is what the plan writes out.
import { vmText } from '../catalog/keys.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import { affordableTasks } from '../chain/handles.ts';
import { reportRebuilt } from '../chain/look-up.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { loadState, nothingSelected, selectVms, type VmCandidate } from '../inventory/select-vms.ts';
import { omitUndefined } from '../omit-undefined.ts';
import { isPlaceholder, placeholderTarget } from '../plan/placeholder.ts';
import { qualifiedName } from '../plan/vms.ts';
import { writePlan } from '../plan/write.ts';
import { problemsOf } from '../problems.ts';
import { type Progress, silentProgress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { count } from '../units.ts';
import type { VmPattern } from '../vm-pattern.ts';
import { withChecksums } from './checksums.ts';
import { describeDraft, describeState } from './comments.ts';
import { chooseDisks } from './disks.ts';
import type { DraftedPlan } from './draft-plan.ts';
import { atLeastOne, checkDisks, type DraftCommon, planHead, resolveAll, throwUnlessSkipped, toPvc } from './pvcs.ts';

/** PVCs are named `namespace/vm/disk`. */
export interface DraftVmsOptions extends DraftCommon {
  /** None is every VM. */
  readonly vms: readonly VmPattern[];
}

/**
 * As `draftPlan`, for every VM that is meant, with the problems of all of them. BACKUP_NOT_FOUND for a pattern that matches
 * nothing, and where there is no VM at all; USAGE for a PVC of a VM that is not among them.
 */
export async function draftPlanOfVms(store: ObjectStore, options: DraftVmsOptions): Promise<DraftedPlan> {
  const { vms: patterns, backup, progress = silentProgress, signal } = options;
  const selected = await selectVms(store, { patterns, backup, progress, signal });
  const limit = affordableTasks(VMS);
  const answers = await mapBounded(
    wanted(options, selected.candidates),
    { limit, signal },
    async (candidate, inner) => {
      try {
        return await draftVm(store, candidate, { ...options, progress, signal: inner });
      } catch (error) {
        inner.throwIfAborted();
        if (error instanceof DatamoverError && error.code === 'SOURCE_UNREACHABLE') throw error;
        return { problems: problemsOf(error).map((problem) => withVm(problem, candidate)) };
      }
    },
  );
  const ofVms = answers.filter((answer) => answer !== undefined);
  const checked = ofVms.flatMap((one) => ('chains' in one && one.chains.length > 0 ? [one] : []));
  const problems = [
    ...selected.problems,
    ...unknownPvcs(options, selected.candidates),
    ...ofVms.flatMap((one) => one.problems),
  ];
  throwUnlessSkipped(problems, { ...options, left: checked.length });
  const drafted: DraftedVm[] = [];
  for (const one of checked) {
    drafted.push({ ...one, chains: await withChecksums(one.chains, options.takeChecksums) });
  }
  const [first, second] = drafted;
  if (first === undefined) throw await nothingSelected(store, { backup }, { signal });
  return second === undefined ? planOfOne(first, problems, options) : planOfSeveral(drafted, problems, options);
}

/** Of several VMs, one may be all that is found: then its disks have their own names. */
function planOfOne(
  { vm, backup, what, chains }: DraftedVm,
  problems: readonly Problem[],
  options: DraftVmsOptions,
): DraftedPlan {
  const renamed = chains.map(withOwnName);
  const pvcs = renamed.map((chain) => toPvc(chain));
  const plan = { ...planHead(options, renamed), backup, vm, pvcs: atLeastOne(pvcs) };
  const described = describeDraft(plan, { chains: renamed, what, skipped: problems });
  return { yaml: writePlan(plan, described), plan, problems };
}

function planOfSeveral(
  drafted: readonly DraftedVm[],
  problems: readonly Problem[],
  options: DraftVmsOptions,
): DraftedPlan {
  const { backup } = options;
  const pvcs = drafted.flatMap(({ vm, backup: own, chains }) =>
    chains.map((chain) => toPvc(chain, { vm, ...(backup === undefined ? { backup: own } : {}) })),
  );
  const chains = drafted.flatMap((one) => one.chains);
  const plan = { ...planHead(options, chains), ...(backup === undefined ? {} : { backup }), pvcs: atLeastOne(pvcs) };
  const state = backup === undefined ? 'the newest backup of each' : `backup ${backup}`;
  const what = `${count(drafted.length, 'VM')} as of ${state}`;
  return { yaml: writePlan(plan, describeDraft(plan, { chains, what, skipped: problems })), plan, problems };
}

function withOwnName(chain: CheckedChain): CheckedChain {
  const { disk, ...rest } = chain.disk;
  if (disk === undefined) return chain;
  const target = isPlaceholder(rest.target) ? placeholderTarget(disk) : rest.target;
  return { ...chain, disk: { ...rest, name: disk, target } };
}

/** VMs at a time; each reads several layers at a time. */
const VMS = 8;

/** Layers of one VM at a time. */
const LAYERS = 4;

interface DraftedVm {
  readonly vm: VmCandidate['vm'];
  readonly backup: string;
  readonly what: string;
  readonly chains: readonly CheckedChain[];
  /** Of its other disks. */
  readonly problems: readonly Problem[];
}

type VmOptions = DraftVmsOptions & { readonly progress: Progress };

async function draftVm(
  store: ObjectStore,
  candidate: VmCandidate,
  { pvcs, acceptUnproven, takeChecksums, progress, signal }: VmOptions,
): Promise<DraftedVm | undefined> {
  const { vm } = candidate;
  const state = await loadState(store, candidate, { progress, signal });
  if (state === undefined) return undefined;
  const { backup, found } = state;
  reportRebuilt(found.index, progress);
  const own = pvcs.flatMap((pvc) => {
    const prefix = qualifiedName(vm, '');
    return pvc.name.startsWith(prefix) ? [{ ...pvc, name: pvc.name.slice(prefix.length) }] : [];
  });
  const resolved = await resolveAll(store, { found, pvcs: chooseDisks(found, own), qualified: true, signal });
  const options = { limit: LAYERS, takeChecksums, ...omitUndefined({ acceptUnproven }), signal };
  const { chains, problems } = await checkDisks(store, resolved.disks, options);
  return { vm, backup, what: describeState({ backup }, found), chains, problems: [...resolved.problems, ...problems] };
}

/** The VMs of which a PVC is asked for; all where none is. */
function wanted({ pvcs }: DraftVmsOptions, candidates: readonly VmCandidate[]): readonly VmCandidate[] {
  if (pvcs.length === 0) return candidates;
  const vms = new Set(pvcs.map(({ name }) => name.split('/').slice(0, 2).join('/')));
  return candidates.filter(({ vm }) => vms.has(vmText(vm)));
}

function unknownPvcs({ pvcs }: DraftVmsOptions, candidates: readonly VmCandidate[]): Problem[] {
  const names = candidates.map(({ vm }) => vmText(vm));
  const known = new Set(names);
  const only = names.length === 1 ? names[0] : undefined;
  const missing = only === undefined ? 'names no VM, and there are several' : `names no VM; ${only} is selected`;
  const hint = `use --pvc ${only ?? 'NAMESPACE/VM'}/DISK=TARGET`;
  return pvcs.flatMap(({ name }) => {
    const parts = name.split('/');
    if (parts.length === 3 && known.has(parts.slice(0, 2).join('/'))) return [];
    const why = parts.length === 3 ? `VM ${parts[0]}/${parts[1]} is not selected` : missing;
    return [{ code: 'USAGE' as const, message: `--pvc ${name}: ${why}`, hint }];
  });
}

/** A problem that concerns no single disk names the VM. */
function withVm(problem: Problem, { vm }: VmCandidate): Problem {
  if (problem.pvc !== undefined || problem.message.includes(vmText(vm))) return problem;
  return { ...problem, message: `VM ${vmText(vm)}: ${problem.message}` };
}
