// What earlier runs left in scratch, told before the work begins.

import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Progress } from '../progress.ts';
import { formatBytes, formatDuration } from '../units.ts';
import type { Recorded } from './journal-state.ts';
import { bytesOnDisk, type LeftBytes, LOCK, PREFIX, workFolderPath } from './layout.ts';
import { isLocked } from './lock.ts';

export interface ReportFolderOptions {
  readonly root: string;
  readonly planId: string;
  readonly folder: { readonly path: string; readonly left: LeftBytes; readonly journal: Recorded | undefined };
  readonly progress: Progress;
}

/** Tells of folders of other plans under `root`, and of what this run goes on from. */
export async function reportFolder({ root, planId, folder, progress }: ReportFolderOptions): Promise<void> {
  if (folder.journal?.worthKeeping) {
    progress.report({
      type: 'info',
      message: `an interrupted run of this plan left ${formatBytes(folder.left.total)} in ${folder.path}: going on from there (--no-resume starts over)`,
    });
  }
  for (const { path, bytes, modified, inUse } of await findLeftovers(root, planId)) {
    if (inUse) {
      progress.report({
        type: 'info',
        message: `${path} is in use by a run of another plan: ${formatBytes(bytes)} so far`,
      });
      continue;
    }
    const age = formatDuration(Math.max(0, (Date.now() - modified.getTime()) / 1000));
    progress.report({
      type: 'warning',
      message: `${path} is left of another plan: ${formatBytes(bytes)}, last used ${age} ago; remove it when nobody needs it`,
    });
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
