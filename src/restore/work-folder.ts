// The folder that a run of one plan owns: its lock, its journal and, under scratch, its layers (design section 8).
// Nothing outside of it is touched, and no link in it is followed.
import type { Stats } from 'node:fs';
import { lstat, mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatamoverError, errnoCode, messageOf, systemCode } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { type Journal, openJournal } from './journal.ts';
import { takeLock } from './lock.ts';

const PREFIX = 'kubevirt-datamover-';
const LOCK = 'lock';
const JOURNAL = 'journal';

export interface WorkFolder {
  /** `<root>/kubevirt-datamover-<plan id>`, mode 0700. */
  readonly path: string;
  readonly journal: Journal;
  /** What it held, in bytes on disk, when this run took it over. */
  readonly leftBytes: number;
  /** Whether a PVC's folder was asked for: until then, what earlier runs left is as it was. */
  readonly begun: boolean;
  /** Makes, if need be, and gives the folder of the plan's `index`th PVC. */
  diskFolder(index: number): Promise<string>;
  /** Bytes that it takes up on disk now. */
  usage(): Promise<number>;
  /** Ends the run: `keep` leaves what a next run can go on from, and is without effect when there is nothing of worth. */
  close(options: { readonly keep: boolean }): Promise<void>;
}

export interface OpenWorkFolderOptions {
  /** The scratch folder, or the runtime folder for a run without scratch; made 0700 when it is missing. */
  readonly root: string;
  readonly planId: string;
  /** Forget what an interrupted run left. */
  readonly fresh: boolean;
}

/**
 * Takes the plan's folder under `root` for this run. SCRATCH_BUSY when another run of the plan holds it,
 * SCRATCH_UNUSABLE when it cannot be made, is not ours or is a link, SCRATCH_FULL when not even that fits.
 */
export async function openWorkFolder({ root, planId, fresh }: OpenWorkFolderOptions): Promise<WorkFolder> {
  const path = join(root, `${PREFIX}${planId}`);
  try {
    const rootMade = await makeFolder(root);
    await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
      if (systemCode(error) !== 'EEXIST') throw error;
    });
    checkOurs(path, await lstat(path));
    const lock = await takeLock(join(path, LOCK));
    try {
      if (fresh) await removeContents(path);
      const leftBytes = await bytesOnDisk(path);
      const journal = await openJournal(join(path, JOURNAL));
      return new OpenWorkFolder({ path, rootMade, leftBytes, journal, release: () => lock.release() });
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw scratchError(error, path);
  }
}

/** Folders of other plans that earlier runs left under `root`: told to people, never deleted. */
export async function findLeftovers(
  root: string,
  planId: string,
): Promise<readonly { readonly path: string; readonly bytes: number; readonly modified: Date }[]> {
  const found = [];
  for (const name of await readdir(root).catch(() => [])) {
    if (!name.startsWith(PREFIX) || name === `${PREFIX}${planId}`) continue;
    const path = join(root, name);
    const info = await lstat(path).catch(() => undefined);
    if (info?.isDirectory()) found.push({ path, bytes: await bytesOnDisk(path), modified: info.mtime });
  }
  return found;
}

/**
 * An error of a file operation in scratch as the user's: ENOSPC and EDQUOT are SCRATCH_FULL, other system errors
 * SCRATCH_UNUSABLE; anything else is given back as it is.
 */
export function scratchError(error: unknown, path: string): unknown {
  const code = errnoCode(error);
  if (error instanceof DatamoverError || code === undefined) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DatamoverError('SCRATCH_FULL', `no space left in scratch while writing ${path}`, {
      hint: 'free space there or give more with --scratch; `restore --dry-run` says how much is needed',
      cause: error,
    });
  }
  return new DatamoverError('SCRATCH_UNUSABLE', `scratch cannot be used: ${path}: ${messageOf(error)}`, {
    hint: 'give a folder that this user can write to with --scratch',
    cause: error,
  });
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

class OpenWorkFolder implements WorkFolder {
  readonly path: string;
  readonly journal: Journal;
  readonly leftBytes: number;
  readonly #rootMade: string | undefined;
  readonly #release: () => Promise<void>;
  #begun = false;

  constructor(parts: {
    path: string;
    rootMade: string | undefined;
    leftBytes: number;
    journal: Journal;
    release: () => Promise<void>;
  }) {
    this.path = parts.path;
    this.journal = parts.journal;
    this.leftBytes = parts.leftBytes;
    this.#rootMade = parts.rootMade;
    this.#release = parts.release;
  }

  get begun(): boolean {
    return this.#begun;
  }

  async diskFolder(index: number): Promise<string> {
    this.#begun = true;
    const path = join(this.path, String(index));
    try {
      await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
        if (systemCode(error) !== 'EEXIST') throw error;
      });
      checkOurs(path, await lstat(path));
      await removeSockets(path);
      return path;
    } catch (error) {
      throw scratchError(error, path);
    }
  }

  async usage(): Promise<number> {
    return await bytesOnDisk(this.path);
  }

  async close({ keep }: { keep: boolean }): Promise<void> {
    const kept = keep && this.journal.worthKeeping;
    try {
      await this.journal.close();
    } finally {
      if (!kept) await this.#remove();
      await this.#release();
    }
  }

  async #remove(): Promise<void> {
    await removeContents(this.path);
    // The lock's file goes last, while we hold it: takeLock notices when it locked a file that is gone.
    await rm(join(this.path, LOCK), { force: true });
    await removeIfEmpty(this.path);
    if (this.#rootMade !== undefined) await removeIfEmpty(this.#rootMade);
  }
}

/** A run that was killed leaves its sockets, and nobody could listen under their names again. */
async function removeSockets(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isSocket()) await rm(join(path, entry.name), { force: true });
  }
}

async function removeContents(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name !== LOCK) await rm(join(path, name), { recursive: true, force: true });
  }
}

/** Whether it was removed; a folder that somebody has begun to use again stays. */
async function removeIfEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(systemCode(error) ?? '')) return false;
    throw error;
  }
}

/** Makes `root` when it is missing and gives its path if so; an existing folder's mode is left alone. */
async function makeFolder(root: string): Promise<string | undefined> {
  const existing = await stat(root).catch(() => undefined);
  if (existing?.isDirectory()) return undefined;
  if (existing !== undefined) {
    throw new DatamoverError('SCRATCH_UNUSABLE', `scratch ${root} is no folder`, {
      hint: `give a folder with --scratch, for example ${dirname(root)}`,
    });
  }
  await makeFolders(root, 0o700);
  return root;
}

function checkOurs(path: string, info: Stats): void {
  const uid = process.getuid?.();
  if (info.isDirectory() && (uid === undefined || uid === 0 || info.uid === uid)) return;
  const reason = info.isDirectory() ? `belongs to user ${info.uid}, not to us (${uid})` : 'is no folder of ours';
  throw new DatamoverError('SCRATCH_UNUSABLE', `${path} ${reason}`, {
    hint: 'remove it after looking at it, or give another folder with --scratch',
  });
}
