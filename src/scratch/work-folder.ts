// The folder that a run of one plan owns: its lock, its journal and, under scratch, its layers (design section 8).
// Nothing outside of it is touched, and no link in it is followed.
import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatamoverError, systemCode } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { scratchError } from './error.ts';
import { type Journal, openJournal } from './journal.ts';
import { JOURNAL, LOCK, measureReusable, type ReusableBytes, workFolderPath } from './layout.ts';
import { takeLock } from './lock.ts';
import { makeOwnFolder } from './private-folder.ts';
import { notADirectory } from './usable.ts';

export { scratchError } from './error.ts';

export interface WorkFolder {
  /** `<root>/kubevirt-datamover-<plan id>`, mode 0700. */
  readonly path: string;
  readonly journal: Journal;
  /** What it held when this run took it over. */
  readonly left: ReusableBytes;
  /** Whether a PVC's folder was asked for: until then, what earlier runs left is as it was. */
  readonly started: boolean;
  /** Makes, if need be, and gives the folder of the plan's `index`th PVC. */
  diskFolder(index: number): Promise<string>;
  /** Removes the folder of the plan's `index`th PVC, if an earlier run left one. */
  removeDiskFolder(index: number): Promise<void>;
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
 * SCRATCH_UNUSABLE when it cannot be made, is not ours or is a link, SCRATCH_FULL when not even that fits, TOOL_MISSING
 * without the program that locks. What was made until then is removed.
 */
export async function openWorkFolder({ root, planId, fresh }: OpenWorkFolderOptions): Promise<WorkFolder> {
  const path = workFolderPath(root, planId);
  const made: Made = { root: undefined, folder: undefined };
  try {
    made.root = await makeRoot(root);
    if (await makeOwnFolder(path)) made.folder = path;
    const lock = await takeLock(join(path, LOCK));
    try {
      if (fresh) await removeContents(path);
      const left = await measureReusable(path);
      const journal = await openJournal(join(path, JOURNAL));
      return new OpenWorkFolder({ path, rootMade: made.root, left, journal, release: () => lock.release() });
    } catch (error) {
      await unmake(made);
      await lock.release();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof DatamoverError && error.code === 'SCRATCH_BUSY')) await unmake(made);
    throw scratchError(error, path);
  }
}

/** What a run has made of its folder's path so far. */
interface Made {
  root: string | undefined;
  folder: string | undefined;
}

/** Removes what was made, once. Its own failing would hide the error that it is called for. */
async function unmake(made: Made): Promise<void> {
  const { root, folder } = made;
  Object.assign(made, { root: undefined, folder: undefined });
  if (folder !== undefined) await removeFolder(folder).catch(() => {});
  if (root !== undefined) await removeIfEmpty(root).catch(() => {});
}

class OpenWorkFolder implements WorkFolder {
  readonly path: string;
  readonly journal: Journal;
  readonly left: ReusableBytes;
  readonly #rootMade: string | undefined;
  readonly #release: () => Promise<void>;
  #started = false;

  constructor(parts: {
    path: string;
    rootMade: string | undefined;
    left: ReusableBytes;
    journal: Journal;
    release: () => Promise<void>;
  }) {
    this.path = parts.path;
    this.journal = parts.journal;
    this.left = parts.left;
    this.#rootMade = parts.rootMade;
    this.#release = parts.release;
  }

  get started(): boolean {
    return this.#started;
  }

  async diskFolder(index: number): Promise<string> {
    this.#started = true;
    const path = join(this.path, String(index));
    try {
      await makeOwnFolder(path);
      await removeSockets(path);
      return path;
    } catch (error) {
      throw scratchError(error, path);
    }
  }

  async removeDiskFolder(index: number): Promise<void> {
    await rm(join(this.path, String(index)), { recursive: true, force: true });
  }

  async close({ keep }: { keep: boolean }): Promise<void> {
    const kept = keep && this.journal.hasProgress;
    try {
      await this.journal.close();
    } finally {
      try {
        if (!kept) await this.#remove();
      } finally {
        await this.#release();
      }
    }
  }

  async #remove(): Promise<void> {
    await removeFolder(this.path);
    if (this.#rootMade !== undefined) await removeIfEmpty(this.#rootMade);
  }
}

async function removeFolder(path: string): Promise<void> {
  await removeContents(path);
  // The lock's file goes last, while we hold it: takeLock notices when it locked a file that is gone.
  await rm(join(path, LOCK), { force: true });
  await removeIfEmpty(path);
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
async function makeRoot(root: string): Promise<string | undefined> {
  const existing = await stat(root).catch(() => undefined);
  if (existing?.isDirectory()) return undefined;
  if (existing !== undefined) throw notADirectory(root);
  await makeFolders(root, 0o700);
  return root;
}
