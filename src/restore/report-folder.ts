// What earlier runs left in scratch, told before the work begins.
import { formatBytes, formatDuration } from '../units.ts';
import type { Run } from './run.ts';
import { findLeftovers } from './work-folder.ts';

/** Tells of folders of other plans under `root`, and of what this run goes on from. */
export async function reportFolder({ options: { progress }, folder, planId }: Run, root: string): Promise<void> {
  if (folder.journal.worthKeeping) {
    progress.report({
      type: 'note',
      message: `an interrupted run of this plan left ${formatBytes(folder.leftBytes)} in ${folder.path}: going on from there (--fresh begins anew)`,
    });
  }
  for (const { path, bytes, modified } of await findLeftovers(root, planId)) {
    const age = formatDuration(Math.max(0, (Date.now() - modified.getTime()) / 1000));
    progress.report({
      type: 'warning',
      message: `${path} is left of another plan: ${formatBytes(bytes)}, last used ${age} ago; remove it when nobody needs it`,
    });
  }
}
