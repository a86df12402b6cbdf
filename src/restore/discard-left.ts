// Makes space in scratch for the PVCs of a run, where layers of other PVCs of the plan take it up.
import { placeInPlan } from '../plan/plan.ts';
import { scratchError } from '../scratch/error.ts';
import { formatBytes } from '../units.ts';
import type { Run } from './options.ts';

/**
 * Removes the layers that an interrupted run of the plan left of `pvcs`; they are downloaded again when they are needed.
 *
 * @throws DatamoverError SCRATCH_UNUSABLE when they cannot be removed.
 */
export async function discardLeft(
  { options: { plan, progress }, folder }: Pick<Run, 'folder' | 'options'>,
  pvcs: readonly string[],
): Promise<void> {
  for (const pvc of pvcs) {
    const place = placeInPlan(plan, pvc);
    progress.report({ type: 'info', pvc, message: describeDiscarded(folder.left.of(place), { dryRun: false }) });
    try {
      await folder.removeDiskFolder(place);
    } catch (error) {
      throw scratchError(error, folder.path);
    }
  }
}

/** The line about a PVC whose layers make way, or with `dryRun` would. `bytes`: what they take up on disk. */
export function describeDiscarded(bytes: number, { dryRun }: { readonly dryRun: boolean }): string {
  const removed = dryRun ? 'would be removed' : 'removed';
  return `${formatBytes(bytes)} of an interrupted run ${removed} from scratch: another PVC needs the space`;
}
