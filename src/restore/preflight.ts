// Check everything, then act: every problem of a plan in one list, before the first byte is written to any target.
import type { SourceAnswer } from '../chain/ask-source.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { checkOpenFiles, checkProcesses } from '../chain/handles.ts';
import { selectPvcs } from '../chain/resolve.ts';
import type { Problem } from '../errors.ts';
import { inPod } from '../in-pod.ts';
import { isPlaceholder } from '../plan/placeholder.ts';
import type { PlanPvc } from '../plan/plan.ts';
import { collect, problemsOf, throwProblems } from '../problems.ts';
import { checkQemu } from '../qemu/check-qemu.ts';
import type { CompletedDisk, Recorded } from '../scratch/journal-state.ts';
import type { ReusableBytes } from '../scratch/layout.ts';
import { placeOf } from '../target/devices.ts';
import { openTarget } from '../target/open.ts';
import type { Target } from '../target/target.ts';
import { formatBytes } from '../units.ts';
import { describeAgain, explainNotBlank, findEarlierRestore, needsLayers } from './kept.ts';
import type { RestoreOptions, Run } from './options.ts';
import { type PlanSpaceOptions, planSpace } from './plan-space.ts';
import { checkPaths } from './preflight-paths.ts';
import { checkSpace, type SpaceCheck } from './preflight-space.ts';

export interface CheckedDisk {
  readonly chain: CheckedChain;
  readonly target: Target;
  /** An earlier run of this plan restored it, and a look at the target found no difference: it is kept. */
  readonly completed: CompletedDisk | undefined;
}

export interface Checked {
  readonly disks: readonly CheckedDisk[];
  readonly space: SpaceCheck;
}

export interface CheckOptions {
  readonly answer: SourceAnswer;
  /** Of scratch. */
  readonly problems: readonly Problem[];
  /** Where the opened targets are put, so that the caller closes them however this ends. */
  readonly targets: Target[];
  /** Scratch, or undefined for `stream`, and where none can be used. */
  readonly scratch: string | undefined;
  /** Where the work directory is, or would be: scratch, or a runtime directory; undefined where none can be used. */
  readonly root: string | undefined;
  /** The run's own work directory; undefined for a dry run, and where none can be used. */
  readonly own?: string | undefined;
}

/** Rejects with one DatamoverError for all problems, in the plan's order. */
export async function checkAll(run: CheckRun, options: CheckOptions): Promise<Checked> {
  const { answer, targets, scratch } = options;
  const { signal } = run;
  const opened = await openTargets(run, targets);
  const known = [...(run.options.problems ?? []), ...answer.problems, ...options.problems];
  const problems: Problem[] = [...known, ...unverifiableChecksums(run.options, answer.disks)];
  const checked: CheckedDisk[] = [];
  for (const { pvc, target, problem } of opened) {
    const chain = answer.chains.find(({ disk }) => disk.name === pvc.name);
    if (problem !== undefined) problems.push(...problem);
    if (chain !== undefined) warnAbout(run.options, chain, target);
    if (target === undefined) continue;
    const found = await checkTarget(run, pvc, chain, target);
    problems.push(...found.problems);
    if (chain !== undefined) checked.push({ chain, target, completed: found.completed });
  }
  problems.push(...(await checkPaths(run.options, { opened, answer, root: options.root })));
  const space = await checkSpace(
    planSpace({ ...run, answer, scratch, own: options.own, ...useOf(run.options, opened, checked) }),
  );
  for (const note of space.notes) run.options.progress.report(note);
  // A device's edges are masked and its tail is zeroed by qemu-io.
  const withDevice = opened.some(({ target }) => target?.kind === 'block');
  problems.push(...space.problems);
  await collect(problems, () => checkQemu({ tools: withDevice ? ['qemu-img', 'qemu-io'] : ['qemu-img'], signal }));
  const chains = checked.filter((one) => needsLayers(run.options, one)).map(({ chain }) => chain);
  const reading = run.options.strategy === 'stream' ? 'streamed' : 'staged';
  problems.push(...checkOpenFiles(chains, reading), ...checkProcesses());
  throwProblems(problems, run.options.plan);
  return { disks: checked, space };
}

/** Which targets are written to, and which PVCs nothing is done for. */
function useOf(
  options: RestoreOptions,
  opened: readonly OpenedTarget[],
  checked: readonly CheckedDisk[],
): Pick<PlanSpaceOptions, 'targets' | 'idle'> {
  const kept = checked.filter(({ completed }) => completed !== undefined);
  const isKept = (name: string): boolean => kept.some(({ chain }) => chain.disk.name === name);
  return {
    targets: new Map(opened.map(({ pvc: { name }, target }) => [name, isKept(name) ? undefined : target])),
    idle: new Set(kept.filter((one) => !needsLayers(options, one)).map(({ chain }) => chain.disk.name)),
  };
}

/** A run, or a dry run, which has at most found a folder; none is there for a run that has none to work in. */
export type CheckRun = Omit<Run, 'folder' | 'store'> & {
  readonly store: Run['store'] | undefined;
  readonly folder:
    | { readonly left: ReusableBytes; readonly freed?: number; readonly journal: Recorded | undefined }
    | undefined;
};

interface OpenedTarget {
  readonly pvc: PlanPvc;
  readonly target?: Target;
  readonly problem?: readonly Problem[];
}

/** Of every PVC that is asked for, also of one whose chain is broken. */
async function openTargets(run: CheckRun, targets: Target[]): Promise<OpenedTarget[]> {
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

async function checkTarget(
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

/** A stream cannot prove the hash of a whole object: it reads only what the disk shows, and writes while it reads. */
function unverifiableChecksums({ strategy, checksums }: RestoreOptions, disks: readonly Disk[]): readonly Problem[] {
  if (strategy !== 'stream' || !checksums) return [];
  return disks
    .filter(({ layers }) => layers.some(({ sha256 }) => sha256 !== undefined))
    .map(({ name }) => ({
      pvc: name,
      code: 'USAGE',
      message: `PVC ${name}: --strategy stream cannot verify the sha256 checksums in the plan`,
      hint: 'use --strategy staged to verify them, or --no-checksums to restore without; `verify --data` verifies them beforehand',
    }));
}

function warnAbout({ progress }: RestoreOptions, chain: CheckedChain, target: Target | undefined): void {
  const pvc = chain.disk.name;
  for (const message of chain.warnings) progress.report({ type: 'warning', pvc, message });
  if (target === undefined || target.fastZero) return;
  const message = `${target.path} does not support fast zeroing; all ${formatBytes(target.capacity ?? chain.virtualSize)} will be written`;
  progress.report({ type: 'info', pvc, message });
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
