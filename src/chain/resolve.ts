// The disks of a plan with their chains: those written out are taken as they are, others are found in the bucket.
import { listNames } from '../catalog/names.ts';
import { runBounded } from '../concurrency.ts';
import { closestMatch } from '../did-you-mean.ts';
import type { Problem } from '../errors.ts';
import { placeholderProblems } from '../plan/placeholder.ts';
import type { Plan, PlanPvc } from '../plan/plan.ts';
import { backupOf, vmOf } from '../plan/vms.ts';
import { type Progress, silentProgress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Disk, Layer } from './disk.ts';
import { affordableTasks } from './handles.ts';
import { LookedUp, placeOf, VmLookUp } from './look-up.ts';

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
  readonly disks: readonly Disk[];
  /** Of single PVCs, and without a PVC what concerns the command line or the whole source. */
  readonly problems: readonly Problem[];
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
  const lookedUp = new LookedUp();
  await runBounded(groups, { limit: affordableTasks(VMS), signal }, async (group, inner) => {
    const [first] = group;
    const vm = first === undefined ? undefined : vmOf(plan, first);
    const ofVm =
      vm === undefined || store === undefined ? undefined : new VmLookUp(vm, { store, progress, signal: inner });
    for (const pvc of group) {
      if (store === undefined && pvc.chain === undefined) continue;
      await lookedUp.add(pvc, () => writtenDisk(pvc) ?? foundDisk(plan, pvc, ofVm), inner);
    }
  });
  const { disks, problems } = lookedUp.of(selected);
  const ofPlan = [...unknownPvcs(plan, pvcs), ...(targetsUsed ? placeholderProblems(plan, { pvcs }) : [])];
  return { disks, problems: [...ofPlan, ...problems] };
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

/** Undefined for a PVC whose chain the plan does not write out. */
function writtenDisk(pvc: PlanPvc): Disk | undefined {
  if (pvc.chain === undefined) return undefined;
  const [first, ...rest] = pvc.chain;
  return { ...placeOf(pvc), layers: [writtenLayer(first), ...rest.map(writtenLayer)] };
}

async function foundDisk(plan: Plan, pvc: PlanPvc, ofVm: VmLookUp | undefined): Promise<Disk> {
  const { checkpoint } = pvc;
  const backup = backupOf(plan, pvc);
  if (ofVm === undefined) throw new TypeError('a chain to look up, but no vm');
  if (checkpoint !== undefined) return await ofVm.disk(pvc, { checkpoint });
  if (backup === undefined) throw new TypeError('a chain to look up, but no backup');
  return await ofVm.disk(pvc, { backup });
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
