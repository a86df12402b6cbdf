// What earlier runs left in scratch, told before the work begins.

import type { Progress } from '../progress.ts';
import { formatBytes, formatDuration } from '../units.ts';
import { findLeftovers, type LeftBytes } from './inspect.ts';
import type { Recorded } from './journal-state.ts';

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
