// Check everything, then act: every problem of a plan in one list, before the first byte is written to any target.

import { type CheckedChain, checkLayers } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { checkQemu } from '../qemu/check-qemu.ts';
import type { CompletedDisk, Recorded } from '../scratch/journal-state.ts';
import type { LeftBytes } from '../scratch/layout.ts';
import { placeOf } from '../target/devices.ts';
import { openTarget } from '../target/open.ts';
import type { Target } from '../target/target.ts';
import { formatBytes } from '../units.ts';
import { describeAgain, explainNotBlank, findEarlierRestore, needsLayers } from './kept.ts';
import type { RestoreOptions, Run } from './options.ts';
import { checkPaths } from './preflight-paths.ts';
import { checkSpace } from './preflight-space.ts';

export interface CheckedDisk {
  readonly chain: CheckedChain;
  readonly target: Target;
  /** An earlier run of this plan restored it, and a look at the target found no difference: it is kept. */
  readonly completed: CompletedDisk | undefined;
}

export interface Checked {
  readonly disks: readonly CheckedDisk[];
  readonly scratchNeeded: number;
  readonly scratchFree: number | undefined;
}

export interface CheckOptions {
  readonly disks: readonly Disk[];
  /** Problems that are known already, of PVCs whose chain could not be resolved. */
  readonly problems: readonly Problem[];
  /** Where the opened targets are put, so that the caller closes them however this ends. */
  readonly targets: Target[];
  /** Scratch, or undefined for `stream`. */
  readonly scratch: string | undefined;
  /** Where the work directory is, or would be: scratch, or a runtime directory. */
  readonly root: string;
}

/** Rejects with one DatamoverError for all problems, in the plan's order. */
export async function checkAll(run: CheckRun, options: CheckOptions): Promise<Checked> {
  const { disks, targets, scratch } = options;
  const { signal } = run;
  const layerCheck = await checkLayers(run.store, disks, { signal });
  const opened = await openTargets(run, disks, targets);
  const problems: Problem[] = [...options.problems, ...layerCheck.problems, ...uncheckable(run.options, disks)];
  const checked: CheckedDisk[] = [];
  for (const { disk, target, problem } of opened) {
    const chain = layerCheck.chains.find((candidate) => candidate.disk === disk);
    if (problem !== undefined) problems.push(...problem);
    if (chain !== undefined) warnAbout(run.options, chain, target);
    if (target === undefined || chain === undefined) continue;
    const found = await checkTarget(run, chain, target);
    problems.push(...found.problems);
    checked.push({ chain, target, completed: found.completed });
  }
  problems.push(...(await checkPaths(run.options, { opened, root: options.root })));
  const space = await checkSpace({
    disks: checked
      .filter((one) => needsLayers(run.options, one))
      .map(({ chain, target, completed }) => ({ chain, target: completed === undefined ? target : undefined })),
    strategy: run.options.strategy,
    headroomPercent: run.options.plan.scratch?.headroomPercent ?? DEFAULT_HEADROOM,
    scratch,
    leftOf: ({ name }) => run.folder?.left.of(run.options.plan.pvcs.findIndex((pvc) => pvc.name === name)) ?? 0,
    freed: run.folder?.freed ?? 0,
  });
  // A device's edges are masked and its tail is zeroed by qemu-io.
  const withDevice = opened.some(({ target }) => target?.kind === 'block');
  const qemu = checkQemu({ tools: withDevice ? ['qemu-img', 'qemu-io'] : ['qemu-img'], signal });
  problems.push(...space.problems, ...(await problemsOf(qemu, signal)));
  if (problems.length > 0) throw DatamoverError.fromProblems(inPlanOrder(problems, run.options.plan.pvcs));
  return { disks: checked, scratchNeeded: space.scratchNeeded, scratchFree: space.scratchFree };
}

/** A run, or a dry run, which has at most found a folder; none is there for a run that has none to work in. */
export type CheckRun = Omit<Run, 'folder'> & {
  readonly folder?: { readonly left: LeftBytes; readonly freed?: number; readonly journal: Recorded | undefined };
};

const DEFAULT_HEADROOM = 15;

interface OpenedTarget {
  readonly disk: Disk;
  readonly target?: Target;
  readonly problem?: readonly Problem[];
}

async function openTargets(run: CheckRun, disks: readonly Disk[], targets: Target[]): Promise<OpenedTarget[]> {
  const opened: OpenedTarget[] = [];
  const taken = new Map<string, Disk>();
  for (const disk of disks) {
    run.signal.throwIfAborted();
    const place = await placeOf(disk.target);
    const other = taken.get(place);
    taken.set(place, disk);
    const one: OpenedTarget =
      other === undefined ? await openOne(run, disk) : { disk, problem: [sameTarget(disk, other)] };
    opened.push(one);
    if (one.target !== undefined) targets.push(one.target);
  }
  return opened;
}

async function openOne({ options, planId, signal }: CheckRun, disk: Disk): Promise<OpenedTarget> {
  try {
    const target = await openTarget({
      path: disk.target,
      makeParents: options.makeParents ?? false,
      requireBlockDevice: options.requireBlockDevice ?? false,
      partialTag: planId,
      inPod: options.env.KUBERNETES_SERVICE_HOST !== undefined,
      signal,
    });
    return { disk, target };
  } catch (error) {
    return { disk, problem: foreseen(error, disk.name) };
  }
}

function sameTarget({ name, target }: Disk, other: Disk): Problem {
  return {
    pvc: name,
    code: 'PLAN_INVALID',
    message: `PVC ${name} and PVC ${other.name} have one target: ${target} and ${other.target} lead to the same place`,
    hint: 'give each PVC a target of its own',
  };
}

async function checkTarget(
  run: CheckRun,
  chain: CheckedChain,
  target: Target,
): Promise<{ readonly completed: CompletedDisk | undefined; readonly problems: readonly Problem[] }> {
  const { disk, virtualSize } = chain;
  try {
    if (disk.size !== undefined && disk.size < virtualSize) throw declaredTooSmall(disk, disk.size, virtualSize);
    target.checkSize(virtualSize);
    const earlier = await findEarlierRestore(run.options, run.folder?.journal, { chain, target });
    if (earlier?.state === 'same') return { completed: earlier.disk, problems: [] };
    await checkBlank(run, chain, target).catch((error: unknown) => {
      throw explainNotBlank(error, earlier, target);
    });
    if (earlier !== undefined) {
      const type = earlier.state === 'forced' ? 'info' : 'warning';
      run.options.progress.report({ type, pvc: disk.name, message: describeAgain(earlier, target) });
    }
    return { completed: undefined, problems: [] };
  } catch (error) {
    return { completed: undefined, problems: foreseen(error, disk.name) };
  }
}

/** TARGET_NOT_BLANK unless the target is blank, forced, or holds the claim of this very plan and PVC. */
export async function checkBlank(
  { options, planId }: Pick<Run, 'options' | 'planId'>,
  { disk, virtualSize }: Pick<CheckedChain, 'disk' | 'virtualSize'>,
  target: Target,
): Promise<void> {
  await target.checkBlank({ force: options.force, excuse: { planId, pvc: disk.name, diskSize: virtualSize } });
}

/** A stream cannot prove the hash of a whole object: it reads only what the disk shows, and writes while it reads. */
function uncheckable({ strategy, checksums }: RestoreOptions, disks: readonly Disk[]): readonly Problem[] {
  if (strategy !== 'stream' || !checksums) return [];
  return disks
    .filter(({ layers }) => layers.some(({ sha256 }) => sha256 !== undefined))
    .map(({ name }) => ({
      pvc: name,
      code: 'USAGE',
      message: `PVC ${name}: the plan gives sha256 of its layers, which the strategy stream cannot check: it never reads an object whole`,
      hint: 'use --strategy staged to have them checked, or --no-checksums to restore without; `verify --data` checks them beforehand',
    }));
}

function warnAbout({ progress }: RestoreOptions, chain: CheckedChain, target: Target | undefined): void {
  const pvc = chain.disk.name;
  for (const message of chain.warnings) progress.report({ type: 'warning', pvc, message });
  if (target === undefined || target.fastZero) return;
  const message = `${target.path} cannot zero fast: all of its ${formatBytes(target.capacity ?? chain.virtualSize)} will be written, however empty the disk is`;
  progress.report({ type: 'info', pvc, message });
}

function declaredTooSmall(disk: Disk, size: number, virtualSize: number): DatamoverError {
  return new DatamoverError(
    'TARGET_TOO_SMALL',
    `PVC ${disk.name} is declared with ${size} bytes, its disk has ${virtualSize} (${formatBytes(virtualSize)})`,
    { hint: `make the PVC at least ${virtualSize} bytes and correct \`size\` in the plan` },
  );
}

/** The problems of an error that was foreseen; any other is thrown on. */
function foreseen(error: unknown, pvc: string): readonly Problem[] {
  if (!(error instanceof DatamoverError) || error.code === 'CANCELLED') throw error;
  return error.problems.map((problem) => ({ pvc, ...problem }));
}

async function problemsOf(work: Promise<unknown>, signal: AbortSignal): Promise<readonly Problem[]> {
  try {
    await work;
    return [];
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DatamoverError)) throw error;
    return error.problems;
  }
}

/** PVC by PVC as the plan has them, then what concerns no single one. */
function inPlanOrder(problems: readonly Problem[], pvcs: readonly { readonly name: string }[]): Problem[] {
  const place = ({ pvc }: Problem): number => {
    const index = pvcs.findIndex(({ name }) => name === pvc);
    return index === -1 ? pvcs.length : index;
  };
  return problems.toSorted((a, b) => place(a) - place(b));
}
