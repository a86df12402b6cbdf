// The joiner: a plan → chains → one check of everything → PVC by PVC → the result document.
import { randomUUID } from 'node:crypto';
import { resolveDisks } from '../chain/resolve.ts';
import { type PvcOutcome, pvcResult } from '../chain/tally.ts';
import { DatamoverError, type ErrorCode, type Problem, toDatamoverError } from '../errors.ts';
import { withSource } from '../inventory/open-source.ts';
import { recordReads } from '../paths/recorded-store.ts';
import { planId } from '../plan/plan-id.ts';
import { secondsSince } from '../progress.ts';
import type { RestoreResult } from '../result.ts';
import { scratchError, withRoomTold } from '../scratch/error.ts';
import { reportFolder } from '../scratch/report.ts';
import { chooseRoot } from '../scratch/runtime-folder.ts';
import { openWorkFolder } from '../scratch/work-folder.ts';
import type { ObjectStore } from '../store/store.ts';
import { keepYoungGenerationSmall } from '../stream/young-generation.ts';
import type { Target } from '../target/target.ts';
import type { RestoreOptions, Run } from './options.ts';
import { Outcomes } from './outcomes.ts';
import { type Checked, type CheckOptions, checkAll } from './preflight.ts';
import { addTargets, checkPaths } from './preflight-paths.ts';
import { restorePvc } from './restore-pvc.ts';

/**
 * Restores the PVCs of a plan in its order. Foreseen failures and cancellation do not reject: the result says which PVC
 * failed, which were not begun, and lists every problem. Rejects with INTERNAL, a bug of ours, so that its cause is not
 * lost. Everything that was opened is closed before it ends.
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const began = performance.now();
  const outcomes = new Outcomes(options);
  try {
    await restoreAll(options, outcomes);
    return outcomes.document(secondsSince(began));
  } catch (error) {
    const failure = toDatamoverError(error, options.signal);
    if (failure.code === 'INTERNAL') throw failure;
    return outcomes.document(secondsSince(began), failure);
  }
}

async function restoreAll(options: RestoreOptions, outcomes: Outcomes): Promise<void> {
  const { plan, signal, progress } = options;
  if (options.strategy === 'stream') keepYoungGenerationSmall();
  addTargets(options);
  const id = planId(plan);
  const root = await chooseRoot(options);
  const runId = randomUUID();
  // A later run that keeps what this one restored names it.
  progress.report({ type: 'info', message: `run ${runId}` });
  progress.report({ type: 'phase-started', phase: 'preflight' });
  const checkBegan = performance.now();
  await withSource({ ...options, source: plan.source }, async (source) => {
    const store = recordReads(source, plan.source, options.paths);
    const { disks, problems } = await resolveDisks(plan, store, { pvcs: options.pvcs, targetsUsed: true, signal });
    outcomes.resolved(disks);
    // Before the work directory, too: opening it may empty it, and it must not be made inside the source.
    const conflicts = await checkPaths(options, { opened: disks.map((disk) => ({ disk })), root });
    if (conflicts.length > 0) {
      const scratch = options.strategy === 'stream' ? undefined : root;
      return await checkWithoutFolder(options, store, { disks, problems, scratch, root, conflicts });
    }
    const folder = await openWorkFolder({ root, planId: id, fresh: options.fresh }).catch(async (error: unknown) => {
      // Busy is an answer by itself; any other problem of scratch is one of many that the check may find.
      if (!(error instanceof DatamoverError) || error.code === 'SCRATCH_BUSY') throw error;
      // Full to the last byte: how much is needed is the next question.
      const scratch = error.code === 'SCRATCH_FULL' && options.strategy !== 'stream' ? root : undefined;
      const known = [...problems, ...error.problems];
      return await checkWithoutFolder(options, store, { disks, problems: known, scratch, root });
    });
    const run: Run = { options, store, planId: id, runId, folder, signal };
    await endingRun(run, async (targets) => {
      await reportFolder({ root, planId: id, folder: run.folder, progress });
      const scratch = options.strategy === 'stream' ? undefined : root;
      const checked = await checkAll(run, { disks, problems, targets, scratch, root });
      progress.report({ type: 'phase-finished', phase: 'preflight', seconds: secondsSince(checkBegan) });
      await restoreChecked(run, checked, outcomes);
    });
  });
}

interface FolderlessCheck extends Pick<CheckOptions, 'disks' | 'problems' | 'scratch' | 'root'> {
  /** Why there is no folder, if the check finds that by itself. */
  readonly conflicts?: readonly Problem[];
}

/** The check of all else when there is no folder to work in: rejects with every problem, the folder's last. */
async function checkWithoutFolder(
  options: RestoreOptions,
  store: ObjectStore,
  { disks, problems, scratch, root, conflicts = [] }: FolderlessCheck,
): Promise<never> {
  const targets: Target[] = [];
  try {
    const run = { options, store, planId: planId(options.plan), runId: randomUUID(), signal: options.signal };
    await checkAll(run, { disks, problems, targets, scratch, root });
    throw DatamoverError.fromProblems([...problems, ...conflicts]);
  } finally {
    for (const target of targets) await target.close();
  }
}

/** Gives `work` a place for the targets that it opens; closes them and the folder however it ends, its error first. */
async function endingRun(run: Run, work: (targets: Target[]) => Promise<void>): Promise<void> {
  const targets: Target[] = [];
  const failure = await outcomeOf(work(targets));
  const keep = failure !== undefined && mayBeGoneOnFrom(run, toDatamoverError(failure, run.signal).code);
  const ends = [...targets.map((target) => () => target.close()), () => run.folder.close({ keep })];
  for (const end of ends) {
    const error = await outcomeOf(end());
    if (error === undefined) continue;
    const { message } = toDatamoverError(scratchError(error, run.folder.path));
    run.options.progress.report({ type: 'warning', message: `while cleaning up: ${message}` });
  }
  if (failure !== undefined) throw failure;
}

/** What a promise rejects with; undefined when it does not. */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}

async function restoreChecked(
  run: Run,
  { disks, scratchNeeded, scratchFree }: Checked,
  outcomes: Outcomes,
): Promise<void> {
  const { progress } = run.options;
  for (const [position, checked] of disks.entries()) {
    const { disk, virtualSize, layers } = checked.chain;
    const place = { pvc: disk.name, index: position + 1, count: disks.length };
    const { target } = disk;
    progress.report({ type: 'pvc-started', ...place, target, layers: layers.length, virtualSize });
    const outcome = await restorePvc(run, checked);
    outcomes.ended(outcome);
    progress.report({ type: 'pvc-finished', ...place, ...endOf(outcome) });
    if (outcome.error === undefined) continue;
    throw await withRoomTold(outcome.error, { path: run.folder.path, scratchNeeded, scratchFree });
  }
}

/** As the result has it. */
function endOf(outcome: PvcOutcome) {
  const { state, verified, keptFrom, seconds } = pvcResult(outcome);
  return { state, verified, ...(keptFrom === undefined ? {} : { keptFrom }), seconds: seconds.total };
}

/**
 * Whether the same command may succeed later without fetching everything again: then scratch is kept (design section
 * 8: exit 3, 5, 130 and 143). A run that has begun no PVC proves nothing against what earlier ones left.
 */
function mayBeGoneOnFrom({ folder }: Run, code: ErrorCode): boolean {
  return PASSING.has(code) || !folder.begun;
}

const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'OBJECT_MISSING',
  'BACKUP_NOT_FOUND',
  'ACCESS_DENIED',
  'SOURCE_UNREACHABLE',
  'OBJECT_CHANGED',
  'SCRATCH_FULL',
  'SCRATCH_UNUSABLE',
  'SCRATCH_BUSY',
  'CANCELLED',
]);
