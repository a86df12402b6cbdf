// Reports what earlier runs left behind in scratch, before the work starts.

import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Progress } from '../progress.ts';
import { formatBytes, formatDuration, MiB } from '../units.ts';
import type { Recorded } from './journal-state.ts';
import { bytesOnDisk, LOCK, PREFIX, type ReusableBytes, workFolderPath } from './layout.ts';
import { isLocked } from './lock.ts';

export interface ReportFolderOptions {
  readonly root: string;
  readonly planId: string;
  readonly folder: { readonly path: string; readonly left: ReusableBytes; readonly journal: Recorded | undefined };
  readonly progress: Progress;
}

/** Less is not worth a warning: a killed run without scratch leaves its journal and a socket, some KiB. */
const MIN_REPORTED = MiB;

/** Reports what this run resumes from, and directories that other plans left behind under `root`. */
export async function reportFolder({ root, planId, folder, progress }: ReportFolderOptions): Promise<void> {
  if (folder.journal?.hasProgress) {
    progress.report({
      type: 'info',
      message: `resuming an interrupted restore: ${formatBytes(folder.left.total)} already in ${folder.path} (use --no-resume to start over)`,
    });
  }
  for (const { path, bytes, modified } of await findLeftovers(root, planId)) {
    if (bytes < MIN_REPORTED) continue;
    const age = formatDuration(Math.max(0, (Date.now() - modified.getTime()) / 1000));
    progress.report({
      type: 'warning',
      message: `${path} (${formatBytes(bytes)}, last used ${age} ago) belongs to another plan; remove it if no longer needed`,
    });
  }
}

export interface Leftover {
  readonly path: string;
  readonly bytes: number;
  readonly modified: Date;
}

/**
 * Directories that runs of other plans left behind under `root`; they are never deleted. One that a run holds the lock of is in
 * use and left out, as is one whose lock cannot be examined: another user's.
 */
export async function findLeftovers(root: string, planId: string): Promise<readonly Leftover[]> {
  const found = [];
  for (const name of await readdir(root).catch(() => [])) {
    const path = join(root, name);
    if (!name.startsWith(PREFIX) || path === workFolderPath(root, planId)) continue;
    const info = await lstat(path).catch(() => undefined);
    if (!info?.isDirectory()) continue;
    if (await isLocked(join(path, LOCK)).catch(() => true)) continue;
    found.push({ path, bytes: await bytesOnDisk(path), modified: info.mtime });
  }
  return found;
}
