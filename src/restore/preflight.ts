// Check everything, then act: every problem of a plan in one list, before the first byte is written to any target.
import { stat } from 'node:fs/promises';
import type { SourceAnswer } from '../chain/ask-source.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { checkOpenFiles, checkProcesses } from '../chain/handles.ts';
import { selectPvcs } from '../chain/resolve.ts';
import { unprovenProblems } from '../chain/unproven.ts';
import { beside } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import { checkMemory } from '../memory-limits.ts';
import { collect, throwProblems } from '../problems.ts';
import { checkQemu } from '../qemu/check-qemu.ts';
import type { CompletedDisk } from '../scratch/journal-state.ts';
import { DEFAULT_WINDOW } from '../stream/stream.ts';
import type { Target } from '../target/target.ts';
import { compressProblems } from '../target-file-name.ts';
import { formatBytes } from '../units.ts';
import { needsLayers } from './kept.ts';
import type { RestoreOptions } from './options.ts';
import { type PlanSpaceOptions, planSpace } from './plan-space.ts';
import { checkPaths } from './preflight-paths.ts';
import { checkSpace, type SpaceCheck } from './preflight-space.ts';
import { type CheckRun, checkTarget, type OpenedTarget, openTargets } from './preflight-targets.ts';

export interface CheckedDisk {
  readonly chain: CheckedChain;
  readonly target: Target;
  /** An earlier run of this plan restored it, and a look at the target found no difference: it is kept. */
  readonly completed: CompletedDisk | undefined;
}

export interface Checked {
  readonly disks: readonly CheckedDisk[];
  readonly space: SpaceCheck;
  /** Of qemu-img. */
  readonly qemu: string | undefined;
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
  /** As `whileAskingQemu` gives it. */
  readonly qemu: ReturnType<typeof checkQemu>;
}

/**
 * Runs `work` while QEMU's tools are asked for their versions: they answer in some 20 ms, and a fork of this process costs the less the
 * earlier it is. Rejects as `work`.
 */
export async function whileAskingQemu<T>(
  { plan, pvcs, signal }: RestoreOptions,
  work: (qemu: CheckOptions['qemu']) => Promise<T>,
): Promise<T> {
  const ask = async (inner: AbortSignal): CheckOptions['qemu'] => {
    const kinds = await Promise.all(selectPvcs(plan, pvcs).map(({ target }) => isBlockDevice(target)));
    // A device's edges are masked and its tail is zeroed by qemu-io.
    return await checkQemu({ tools: kinds.includes(true) ? ['qemu-img', 'qemu-io'] : ['qemu-img'], signal: inner });
  };
  return await beside(signal, ask, work);
}

/** What cannot be looked at is opened later, and explained then. */
async function isBlockDevice(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isBlockDevice(),
    () => false,
  );
}

/** Rejects with one DatamoverError for all problems, in the plan's order. */
export async function checkAll(run: CheckRun, options: CheckOptions): Promise<Checked> {
  const { answer, targets, scratch } = options;
  const { plan, pvcs, compress } = run.options;
  const opened = await openTargets(run, targets);
  const known = [...(run.options.problems ?? []), ...answer.problems, ...options.problems];
  const problems: Problem[] = [
    ...known,
    ...unverifiableChecksums(run.options, answer.disks),
    ...(compress === true ? compressProblems(selectPvcs(plan, pvcs).map((pvc) => pvc.target)) : []),
  ];
  if (run.options.acceptUnproven !== true) problems.push(...unprovenProblems(answer.chains.map(({ disk }) => disk)));
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
  problems.push(...space.problems);
  const qemu = await collect(problems, () => options.qemu);
  run.signal.throwIfAborted();
  const chains = checked.filter((one) => needsLayers(run.options, one)).map(({ chain }) => chain);
  const reading = run.options.strategy === 'stream' ? 'streamed' : 'staged';
  const window = chains.length === 0 || reading === 'staged' ? 0 : (run.options.window ?? DEFAULT_WINDOW);
  problems.push(...checkOpenFiles(chains, reading), ...checkProcesses(), ...checkMemory(window));
  throwProblems(problems, plan);
  return { disks: checked, space, qemu: qemu?.version };
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
