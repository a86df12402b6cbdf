// What earlier runs left under a scratch folder, looked at without changing anything.
import { constants } from 'node:fs';
import { access, lstat, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatamoverError, systemCode } from '../errors.ts';
import { scratchError } from './error.ts';
import { readJournal } from './journal.ts';
import type { ReadJournal } from './journal-state.ts';
import { isLocked, lockBusy } from './lock.ts';
import { checkIsFolder } from './private-folder.ts';

const PREFIX = 'kubevirt-datamover-';

/** Of a plan's folder. */
export const LOCK = 'lock';
export const JOURNAL = 'journal';

export function workFolderPath(root: string, planId: string): string {
  return join(root, `${PREFIX}${planId}`);
}

/** What a plan's folder holds, in bytes on disk. */
export interface LeftBytes {
  readonly total: number;
  /** Of the plan's `index`th PVC. */
  of(index: number): number;
}

export const NOTHING_LEFT: LeftBytes = { total: 0, of: () => 0 };

export async function measureLeft(path: string): Promise<LeftBytes> {
  const total = await bytesOnDisk(path);
  const folders = new Map<string, number>();
  for (const name of await readdir(path)) {
    if (/^\d+$/.test(name)) folders.set(name, await bytesOnDisk(join(path, name)));
  }
  return { total, of: (index) => folders.get(String(index)) ?? 0 };
}

/** A plan's folder as a run would find it. */
export interface FoundFolder {
  readonly path: string;
  readonly left: LeftBytes;
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
export async function lookForWorkFolder(options: {
  readonly root: string;
  readonly planId: string;
  /** Forget what an interrupted run left. */
  readonly fresh: boolean;
}): Promise<FoundFolder> {
  const { root, planId, fresh } = options;
  const path = workFolderPath(root, planId);
  try {
    await checkUsable(root);
    const info = await unlessMissing(lstat(path));
    if (info !== undefined) checkIsFolder(path, info);
    if (await isLocked(join(path, LOCK))) throw lockBusy(join(path, LOCK));
    if (info === undefined) return { path, left: NOTHING_LEFT, freed: 0, journal: undefined };
    await access(path, USABLE);
    const left = await measureLeft(path);
    if (fresh) return { path, left: NOTHING_LEFT, freed: left.total, journal: undefined };
    return { path, left, freed: 0, journal: await unlessMissing(readJournal(join(path, JOURNAL))) };
  } catch (error) {
    throw scratchError(error, path);
  }
}

const USABLE = constants.W_OK | constants.X_OK;

/** SCRATCH_UNUSABLE, or the system's error, unless `root` is a folder that we can write to, or one can be made there. */
async function checkUsable(root: string): Promise<void> {
  const info = await unlessMissing(stat(root));
  if (info === undefined && dirname(root) !== root) return await checkUsable(dirname(root));
  if (info !== undefined && !info.isDirectory()) throw noFolder(root);
  await access(root, USABLE);
}

/** What is said of a scratch folder that is something else. */
export function noFolder(root: string): DatamoverError {
  return new DatamoverError('SCRATCH_UNUSABLE', `scratch ${root} is no folder`, {
    hint: `give a folder with --scratch, for example ${dirname(root)}`,
  });
}

async function unlessMissing<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export interface Leftover {
  readonly path: string;
  readonly bytes: number;
  readonly modified: Date;
  /** A run is at work in it. */
  readonly inUse: boolean;
}

/** Folders of other plans under `root`: told to people, never deleted. */
export async function findLeftovers(root: string, planId: string): Promise<readonly Leftover[]> {
  const found = [];
  for (const name of await readdir(root).catch(() => [])) {
    const path = join(root, name);
    if (!name.startsWith(PREFIX) || path === workFolderPath(root, planId)) continue;
    const info = await lstat(path).catch(() => undefined);
    if (!info?.isDirectory()) continue;
    // Another user's lock cannot be looked at: then what is told is what was told before there was one.
    const inUse = await isLocked(join(path, LOCK)).catch(() => false);
    found.push({ path, bytes: await bytesOnDisk(path), modified: info.mtime, inUse });
  }
  return found;
}

/** Bytes that a folder's files take up on disk, links not followed. A file that vanishes meanwhile counts as nothing. */
export async function bytesOnDisk(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) bytes += await bytesOnDisk(child);
    else bytes += ((await lstat(child).catch(() => undefined))?.blocks ?? 0) * 512;
  }
  return bytes;
}
