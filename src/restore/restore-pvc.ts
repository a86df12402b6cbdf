// One PVC from its checked chain to its finished target.
import { rm } from 'node:fs/promises';
import { newStats, type PvcOutcome, type PvcStats } from '../chain/tally.ts';
import type { VirtualDisk } from '../chain/virtual-disk.ts';
import { type DatamoverError, messageOf, toDatamoverError } from '../errors.ts';
import { placeInPlan } from '../plan/plan.ts';
import { secondsSince } from '../progress.ts';
import type { CompletedDisk } from '../scratch/journal-state.ts';
import { scratchError } from '../scratch/work-folder.ts';
import { compareCompleted } from './compare-target.ts';
import { type RestoredDisk, recordCompleted } from './finished.ts';
import { hashTarget } from './hash-target.ts';
import { describeKept, needsLayers } from './kept.ts';
import type { Run } from './options.ts';
import type { CheckedDisk } from './preflight.ts';
import { checkBlank } from './preflight-targets.ts';
import { describeTarget } from './target-info.ts';
import { withDisk } from './with-disk.ts';
import { writeTarget } from './write-target.ts';

export interface RestoredPvc extends PvcOutcome {
  /** Why it failed; undefined when it was restored. */
  readonly error?: DatamoverError;
}

/** Never rejects: a failure is in the outcome, with what was done until then. */
export async function restorePvc(run: Run, checked: CheckedDisk): Promise<RestoredPvc> {
  const began = performance.now();
  const { chain, completed } = checked;
  const tally = newStats(chain);
  const outcome = { disk: chain.disk, chain, strategy: run.options.strategy, tally };
  const end = async (): Promise<Pick<RestoredPvc, 'targetInfo' | 'seconds'>> => {
    const targetInfo = await describeTarget(checked.target, { progress: run.options.progress, pvc: chain.disk.name });
    return { targetInfo, seconds: secondsSince(began) };
  };
  try {
    if (completed === undefined) await restoreToTarget(run, checked, tally);
    else await skipCompleted(run, { ...checked, completed }, tally);
    if (run.options.hash === true) await hashTarget(run, { ...checked, tally });
    if (completed === undefined) return { ...outcome, state: 'restored', ...(await end()) };
    return { ...outcome, state: 'kept', keptFrom: completed.restoredBy, ...(await end()) };
  } catch (error) {
    const failure = toDatamoverError(error, run.signal).about(chain.disk.name);
    return { ...outcome, state: 'failed', ...(await end()), error: failure };
  }
}

async function restoreToTarget(run: Run, { chain, target }: CheckedDisk, tally: PvcStats): Promise<void> {
  const { journal } = run.folder;
  const { name } = chain.disk;
  const folder = await run.folder.diskFolder(placeInPlan(run.options.plan, name));
  await checkBlank(run, chain, target);
  const write = async (disk: VirtualDisk): Promise<void> => {
    await checkBlank(run, chain, target);
    // Not before: until it is written to, what an earlier run completed is still there.
    await journal.reopen(name).catch((error: unknown) => {
      throw scratchError(error, folder);
    });
    await writeTarget(run, { chain, target, disk, folder, tally });
  };
  await withDisk(run, { chain, target, folder, tally }, write);
  await recordCompletion(run, { chain, target, runId: run.runId }, folder);
}

/** The disk is whole and flushed: nothing that fails from here on makes it a failed restore. */
async function recordCompletion({ folder, options: { progress } }: Run, on: RestoredDisk, path: string): Promise<void> {
  try {
    await recordCompleted(folder.journal, on);
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    const message = `restored, but completion could not be recorded (${messageOf(error)}); a later run may repeat it`;
    progress.report({ type: 'warning', pvc: on.chain.disk.name, message });
  }
}

/** Nothing is written to what an earlier run completed; all of it is compared when this run is asked to compare. */
async function skipCompleted(
  run: Run,
  { chain, target, completed }: CheckedDisk & { readonly completed: CompletedDisk },
  tally: PvcStats,
): Promise<void> {
  const { folder, options } = run;
  const { progress } = options;
  const pvc = chain.disk.name;
  const place = placeInPlan(options.plan, pvc);
  await target.syncCompleted();
  const message = describeKept(options, { completed, target }, { dryRun: false });
  progress.report({ type: 'info', pvc, message });
  if (needsLayers(options, { completed })) {
    await compareCompleted(run, { chain, target, completed, folder: await folder.diskFolder(place), tally });
  }
  await folder.removeDiskFolder(place).catch((error: unknown) => {
    const kept = `files of an earlier run in ${folder.path} could not be removed: ${messageOf(error)}`;
    progress.report({ type: 'warning', pvc, message: kept });
  });
}
