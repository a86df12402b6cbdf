// One PVC from its checked chain to its finished target.
import { rm } from 'node:fs/promises';
import { type PvcOutcome, startTally, type Tally } from '../chain/tally.ts';
import type { Guest } from '../chain/virtual-disk.ts';
import { type DatamoverError, messageOf, toDatamoverError } from '../errors.ts';
import { secondsSince } from '../progress.ts';
import { scratchError } from '../scratch/work-folder.ts';
import { compareFinished } from './compare-target.ts';
import { type DiskOnTarget, recordFinished } from './finished.ts';
import { type CheckedDisk, checkBlank, needsLayers } from './preflight.ts';
import type { Run } from './run.ts';
import { withGuest } from './with-disk.ts';
import { writeTarget } from './write-target.ts';

export interface RestoredPvc extends PvcOutcome {
  /** Why it failed; undefined when it was restored. */
  readonly error?: DatamoverError;
}

/** Never rejects: a failure is in the outcome, with what was done until then. */
export async function restorePvc(run: Run, checked: CheckedDisk): Promise<RestoredPvc> {
  const began = performance.now();
  const { chain } = checked;
  const tally = startTally(chain);
  const outcome = { disk: chain.disk, chain, strategy: run.options.strategy, tally };
  try {
    if (checked.finished === undefined) await restoreOnto(run, checked, tally);
    else await leaveFinished(run, checked, tally);
    return { ...outcome, state: 'restored', seconds: secondsSince(began) };
  } catch (error) {
    const failure = toDatamoverError(error, run.signal).about(chain.disk.name);
    return { ...outcome, state: 'failed', seconds: secondsSince(began), error: failure };
  }
}

async function restoreOnto(run: Run, { chain, target }: CheckedDisk, tally: Tally): Promise<void> {
  const { journal } = run.folder;
  const { disk } = chain;
  const folder = await run.folder.diskFolder(placeInPlan(run, disk.name));
  await checkBlank(run, chain, target);
  await journal.reopen(disk.name).catch((error: unknown) => {
    throw scratchError(error, folder);
  });
  const write = async (guest: Guest): Promise<void> => {
    await checkBlank(run, chain, target);
    await writeTarget(run, { chain, target, guest, folder, tally });
  };
  await withGuest(run, { chain, folder, tally }, write);
  await concludePvc(run, { chain, target, verified: tally.verified }, folder);
}

/** The disk is whole and flushed: nothing that fails from here on makes it a failed restore. */
async function concludePvc({ folder, options: { progress } }: Run, on: DiskOnTarget, path: string): Promise<void> {
  try {
    await recordFinished(folder.journal, on);
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    const message = `restored, but its end could not be recorded (${messageOf(error)}): a later run may do it again`;
    progress.report({ type: 'warning', pvc: on.chain.disk.name, message });
  }
}

/** The place in the plan, not in this run: `--pvc` must not make a later run look elsewhere. */
function placeInPlan({ options: { plan } }: Run, disk: string): number {
  return plan.pvcs.findIndex(({ name }) => name === disk);
}

/** Nothing is written to what an earlier run finished; it is compared when that is asked for and was not done then. */
async function leaveFinished(run: Run, { chain, target, finished }: CheckedDisk, tally: Tally): Promise<void> {
  const { folder, options } = run;
  const { progress } = options;
  const pvc = chain.disk.name;
  const place = placeInPlan(run, pvc);
  await target.settle();
  tally.verified = finished?.verified ?? false;
  const compares = needsLayers(options, { finished });
  const left = compares ? 'still to be compared' : 'nothing to do';
  const message = `an earlier run of this plan restored it onto ${target.path}, which looks as it was left: ${left}`;
  progress.report({ type: 'info', pvc, message });
  if (compares) {
    await compareFinished(run, { chain, target, folder: await folder.diskFolder(place), tally });
  }
  await folder.removeDiskFolder(place).catch((error: unknown) => {
    const kept = `what an earlier run left of it in ${folder.path} could not be removed: ${messageOf(error)}`;
    progress.report({ type: 'warning', pvc, message: kept });
  });
}
