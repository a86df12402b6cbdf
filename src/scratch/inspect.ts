// Inspects what earlier runs left under a scratch directory, without changing anything.
import { access, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { undefinedIfMissing } from '../missing.ts';
import { scratchError } from './error.ts';
import { readJournal } from './journal.ts';
import type { ReadJournal } from './journal-state.ts';
import { JOURNAL, LOCK, measureReusable, NOTHING_LEFT, type ReusableBytes, workFolderPath } from './layout.ts';
import { isLocked, lockBusy } from './lock.ts';
import { checkIsFolder } from './private-folder.ts';
import { checkUsable, USABLE } from './usable.ts';

/** A plan's folder as a run would find it. */
export interface FoundFolder {
  readonly path: string;
  readonly left: ReusableBytes;
  /** What a run would free before all else, bytes. */
  readonly freed: number;
  /** Undefined where nothing is left to go on from. */
  readonly journal: ReadJournal | undefined;
}

/**
 * What `openWorkFolder` would find, or fail with: SCRATCH_BUSY when a run of the plan is at work, SCRATCH_UNUSABLE when
 * the folder could not be made or is not to be trusted, TOOL_MISSING without `flock`. Whether a folder of another owner
 * is ours can be told only by writing: that is left to the run.
 */
export async function inspectWorkFolder(options: {
  readonly root: string;
  readonly planId: string;
  /** Forget what an interrupted run left. */
  readonly fresh: boolean;
}): Promise<FoundFolder> {
  const { root, planId, fresh } = options;
  const path = workFolderPath(root, planId);
  try {
    await checkUsable(root);
    const info = await undefinedIfMissing(lstat(path));
    if (info !== undefined) checkIsFolder(path, info);
    if (await isLocked(join(path, LOCK))) throw lockBusy(join(path, LOCK));
    if (info === undefined) return { path, left: NOTHING_LEFT, freed: 0, journal: undefined };
    await access(path, USABLE);
    const left = await measureReusable(path);
    if (fresh) return { path, left: NOTHING_LEFT, freed: left.total, journal: undefined };
    return { path, left, freed: 0, journal: await undefinedIfMissing(readJournal(join(path, JOURNAL))) };
  } catch (error) {
    throw scratchError(error, path);
  }
}
