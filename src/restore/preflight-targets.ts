// The targets: each is opened, then checked for its size and for data on it. Nothing is written.
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { selectPvcs } from '../chain/resolve.ts';
import type { Problem } from '../errors.ts';
import { inPod } from '../in-pod.ts';
import { isPlaceholder } from '../plan/placeholder.ts';
import type { PlanPvc } from '../plan/plan.ts';
import { collect, problemsOf } from '../problems.ts';
import type { CompletedDisk, Recorded } from '../scratch/journal-state.ts';
import type { ReusableBytes } from '../scratch/layout.ts';
import { placeOf } from '../target/devices.ts';
import { openTarget } from '../target/open.ts';
import type { Target } from '../target/target.ts';
import { formatBytes } from '../units.ts';
import { describeAgain, explainNotBlank, findEarlierRestore } from './kept.ts';
import type { Run } from './options.ts';

/** A run, or a dry run, which has at most found a folder; none is there for a run that has none to work in. */
export type CheckRun = Omit<Run, 'folder' | 'store'> & {
  readonly store: Run['store'] | undefined;
  readonly folder:
    | {
        readonly path: string;
        readonly left: ReusableBytes;
        readonly freed?: number;
        readonly journal: Recorded | undefined;
      }
    | undefined;
};

export interface OpenedTarget {
  readonly pvc: PlanPvc;
  readonly target?: Target;
  readonly problem?: readonly Problem[];
}

/** Of every PVC that is asked for, also of one whose chain is broken. */
export async function openTargets(run: CheckRun, targets: Target[]): Promise<OpenedTarget[]> {
  const { plan, pvcs } = run.options;
  const opened: OpenedTarget[] = [];
  const taken = new Map<string, PlanPvc>();
  for (const pvc of selectPvcs(plan, pvcs)) {
    run.signal.throwIfAborted();
    if (isPlaceholder(pvc.target)) continue;
    const place = await placeOf(pvc.target);
    const other = taken.get(place);
    taken.set(place, pvc);
    const one: OpenedTarget =
      other === undefined ? await openOne(run, pvc) : { pvc, problem: sameTarget(run, pvc, other) };
    opened.push(one);
    if (one.target !== undefined) targets.push(one.target);
  }
  return opened;
}

async function openOne({ options, planId, signal }: CheckRun, pvc: PlanPvc): Promise<OpenedTarget> {
  try {
    const target = await openTarget({
      path: pvc.target,
      makeParents: options.makeParents ?? false,
      requireBlockDevice: options.requireBlockDevice ?? false,
      partialTag: planId,
      inPod: inPod(options.env),
      signal,
    });
    return { pvc, target };
  } catch (error) {
    return { pvc, problem: aboutPvc(problemsOf(error), pvc) };
  }
}

/** Nothing where reading the plan has found it already. */
function sameTarget({ options }: CheckRun, { name, target }: PlanPvc, other: PlanPvc): Problem[] {
  if (options.problems?.some(({ pvc, code }) => pvc === name && code === 'PLAN_INVALID')) return [];
  const message = `PVC ${name} and PVC ${other.name} have the same target: ${target} and ${other.target} lead to the same place`;
  return [{ pvc: name, code: 'PLAN_INVALID', message, hint: 'give each PVC its own target' }];
}

export async function checkTarget(
  run: CheckRun,
  pvc: PlanPvc,
  chain: CheckedChain | undefined,
  target: Target,
): Promise<{ readonly completed: CompletedDisk | undefined; readonly problems: readonly Problem[] }> {
  const problems: Problem[] = [];
  const { options, folder } = run;
  if (chain === undefined) {
    // Without its chain nothing tells whether a target that an earlier run completed is to be kept.
    if (folder?.journal?.completed(pvc.name) === undefined) {
      await collect(problems, () => checkBlank(run, { disk: pvc, virtualSize: undefined }, target));
    }
    return { completed: undefined, problems: aboutPvc(problems, pvc) };
  }
  await checkSizes(problems, chain, target);
  const earlier = await collect(problems, () => findEarlierRestore(options, folder?.journal, { chain, target }));
  if (earlier?.state === 'same') return { completed: earlier.disk, problems: aboutPvc(problems, pvc) };
  const before = problems.length;
  await collect(problems, () =>
    checkBlank(run, chain, target).catch((error: unknown) => {
      throw explainNotBlank(error, earlier, target);
    }),
  );
  if (earlier !== undefined && problems.length === before) {
    const type = earlier.state === 'forced' ? 'info' : 'warning';
    options.progress.report({ type, pvc: pvc.name, message: describeAgain(earlier, target) });
  }
  return { completed: undefined, problems: aboutPvc(problems, pvc) };
}

/** TARGET_TOO_SMALL for the size that the plan declares, and for the device's own. */
async function checkSizes(problems: Problem[], { disk, virtualSize }: CheckedChain, target: Target): Promise<void> {
  if (disk.size !== undefined && disk.size < virtualSize) problems.push(declaredTooSmall(disk, disk.size, virtualSize));
  await collect(problems, () => target.checkSize(virtualSize));
}

/** TARGET_NOT_BLANK unless the target is blank, forced, or holds the claim of this very plan and PVC. */
export async function checkBlank(
  { options, planId }: Pick<Run, 'options' | 'planId'>,
  { disk, virtualSize }: { readonly disk: Pick<Disk, 'name'>; readonly virtualSize: number | undefined },
  target: Target,
): Promise<void> {
  await target.checkBlank({ force: options.force, ownClaim: { planId, pvc: disk.name, diskSize: virtualSize } });
}

function declaredTooSmall({ name }: Disk, size: number, virtualSize: number): Problem {
  return {
    code: 'TARGET_TOO_SMALL',
    message: `PVC ${name}: declared size too small: ${size} bytes, the disk has ${virtualSize} (${formatBytes(virtualSize)})`,
    hint: `make the PVC at least ${virtualSize} bytes and correct \`size\` in the plan`,
  };
}

function aboutPvc(problems: readonly Problem[], { name }: PlanPvc): Problem[] {
  return problems.map((problem) => ({ pvc: name, ...problem }));
}
