// The joiner: a plan → chains → one check of everything → PVC by PVC → the result document.
import { randomUUID } from 'node:crypto';
import { withSourceAnswer } from '../chain/ask-source.ts';
import { selectPvcs } from '../chain/resolve.ts';
import { type PvcOutcome, pvcResult } from '../chain/tally.ts';
import { type Problem, toDatamoverError } from '../errors.ts';
import { isResumable } from '../exit-status.ts';
import { planId } from '../plan/plan-id.ts';
import { collect, throwProblems } from '../problems.ts';
import { secondsSince } from '../progress.ts';
import type { RestoreResult } from '../result.ts';
import { scratchError } from '../scratch/error.ts';
import { reportFolder } from '../scratch/report.ts';
import { chooseRoot } from '../scratch/runtime-folder.ts';
import { withSpaceDetails } from '../scratch/space-details.ts';
import { openWorkFolder, type WorkFolder } from '../scratch/work-folder.ts';
import { keepYoungGenerationSmall } from '../stream/young-generation.ts';
import type { Target } from '../target/target.ts';
import { discardLeft } from './discard-left.ts';
import { askedOf, type RestoreOptions, type Run } from './options.ts';
import { Outcomes } from './outcomes.ts';
import { scratchToCheck } from './plan-space.ts';
import { type Checked, checkAll, whileAskingQemu } from './preflight.ts';
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
  const { plan, signal, progress, strategy } = options;
  if (strategy === 'stream') keepYoungGenerationSmall();
  addTargets(options);
  const id = planId(plan);
  const problems: Problem[] = [];
  const root = await collect(problems, () => chooseRoot(options));
  const runId = randomUUID();
  // A later run that keeps what this one restored names it.
  progress.report({ type: 'info', message: `run ${runId}` });
  progress.report({ type: 'phase-started', phase: 'preflight' });
  const checkBegan = performance.now();
  await whileAskingQemu(options, (qemu) =>
    withSourceAnswer({ ...options, ...askedOf(options), targetsUsed: true }, async (answer) => {
      outcomes.resolved(answer.disks);
      const { store } = answer;
      // Before the work directory, too: opening it may empty it, and it must not be made inside the source.
      const named = selectPvcs(plan, options.pvcs).map((pvc) => ({ pvc }));
      const conflicts = await checkPaths(options, { opened: named, answer, root });
      const open = { root: root ?? '', planId: id, fresh: options.fresh };
      const usesFolder = root !== undefined && conflicts.length === 0;
      const folder = usesFolder ? await collect(problems, () => openWorkFolder(open)) : undefined;
      const common = { options, planId: id, runId, signal };
      await endingRun({ options, folder, signal }, async (targets) => {
        if (folder !== undefined) await reportFolder({ root: open.root, planId: id, folder, progress });
        const isPlace = conflicts.length > 0 && strategy !== 'stream';
        const scratch = isPlace ? root : scratchToCheck({ strategy, root, folder, problems });
        const checked = await checkAll(
          { ...common, store, folder },
          { answer, problems, targets, scratch, root, own: folder?.path, qemu },
        );
        // The check finds the same conflicts again, unless opening a target told more of one.
        throwProblems(conflicts, plan);
        if (store === undefined || folder === undefined)
          throw new TypeError('no problem, but no store or no work directory');
        progress.report({ type: 'phase-finished', phase: 'preflight', seconds: secondsSince(checkBegan) });
        await restoreChecked({ ...common, store, folder }, checked, outcomes);
      });
    }),
  );
}

/**
 * Gives `work` a place for the targets that it opens; closes them and the work directory however it ends, its error first. The
 * directory of a run that succeeded is closed after its result, where the caller says when that is.
 */
async function endingRun(run: RunContext, work: (targets: Target[]) => Promise<void>): Promise<void> {
  const { folder, options, signal } = run;
  const targets: Target[] = [];
  const failure = await rejectionOf(work(targets));
  // A run that has started no PVC proves nothing against the progress that earlier runs saved.
  const keep =
    failure !== undefined && (folder?.started !== true || isResumable(toDatamoverError(failure, signal).code));
  const closeFolder = async (): Promise<void> => {
    const error = await rejectionOf(folder?.close({ keep }) ?? Promise.resolve());
    if (error !== undefined) throw scratchError(error, folder?.path ?? '');
  };
  const ends = targets.map((target) => () => target.close());
  if (failure === undefined && options.afterResult !== undefined) options.afterResult(closeFolder);
  else ends.push(closeFolder);
  for (const end of ends) {
    const error = await rejectionOf(end());
    if (error === undefined) continue;
    const { message } = toDatamoverError(error);
    options.progress.report({ type: 'warning', message: `while cleaning up: ${message}` });
  }
  if (failure !== undefined) throw failure;
}

type RunContext = Pick<Run, 'options' | 'signal'> & { readonly folder: WorkFolder | undefined };

/** What a promise rejects with; undefined when it does not. */
async function rejectionOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}

async function restoreChecked(run: Run, { disks, space, qemu }: Checked, outcomes: Outcomes): Promise<void> {
  if (qemu !== undefined) outcomes.usesTool('qemu-img', qemu);
  await discardLeft(run, space.discarded);
  const { progress } = run.options;
  for (const [position, checked] of disks.entries()) {
    const { disk, virtualSize, layers } = checked.chain;
    const place = { pvc: disk.name, index: position + 1, count: disks.length };
    const { target } = disk;
    progress.report({ type: 'pvc-started', ...place, target, layers: layers.length, virtualSize });
    const outcome = await restorePvc(run, checked);
    outcomes.ended(outcome);
    progress.report({ type: 'pvc-finished', ...place, ...finishedFields(outcome) });
    if (outcome.error === undefined) continue;
    const needs = space.needs.filter(({ pvc }) => pvc === disk.name);
    throw await withSpaceDetails(outcome.error, { needs, folder: run.folder.path });
  }
}

/** As the result has it. */
function finishedFields(outcome: PvcOutcome) {
  const { state, verified, keptFrom, seconds } = pvcResult(outcome);
  return { state, verified, ...(keptFrom === undefined ? {} : { keptFrom }), seconds: seconds.total };
}
