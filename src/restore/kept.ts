// A PVC that an earlier run of this plan completed: whether this run keeps it, and the words for it. What is said never goes
// beyond what was done: a look at samples is no comparison with the backup.
import { DatamoverError } from '../errors.ts';
import type { CompletedDisk, Recorded } from '../scratch/journal-state.ts';
import type { Target } from '../target/target.ts';
import { formatBytes } from '../units.ts';
import { completedOn, type DiskOnTarget, findCompleted, type Look } from './finished.ts';
import type { RestoreOptions } from './options.ts';

/** As `Look`; `forced`: it is restored again whatever the target shows. */
export type EarlierRestore = Look | { readonly state: 'forced'; readonly disk: CompletedDisk };

/** What an earlier run did of this PVC, on this very target; undefined when nothing is known that counts. */
export async function findEarlierRestore(
  { force }: Pick<RestoreOptions, 'force'>,
  journal: Recorded | undefined,
  on: DiskOnTarget,
): Promise<EarlierRestore | undefined> {
  if (journal === undefined) return undefined;
  if (!force) return await findCompleted(journal, on);
  const disk = completedOn(journal, on);
  return disk === undefined || disk.expected ? undefined : { state: 'forced', disk };
}

/** Whether a run reads the layers of a disk: to restore it, or to compare what it keeps, whatever an earlier run compared. */
export function needsLayers(
  { verify }: Pick<RestoreOptions, 'verify'>,
  { completed }: { readonly completed: CompletedDisk | undefined },
): boolean {
  return completed === undefined || verify === 'compare';
}

/** The line about a PVC that is kept, or with `dryRun` would be. */
export function describeKept(
  { verify }: Pick<RestoreOptions, 'verify'>,
  { completed, target }: { readonly completed: CompletedDisk; readonly target: Target },
  { dryRun }: { readonly dryRun: boolean },
): string {
  const { windows, virtualSize, length: size = virtualSize } = completed;
  const read = windows.reduce((sum, { length }) => sum + length, 0);
  const look = `${formatBytes(read)} of ${formatBytes(size)} read, no change found`;
  const kept = dryRun ? 'it would be kept' : 'kept';
  const compared = dryRun ? ' and compared with the backup' : ', comparing it with the backup now';
  const how = verify === 'compare' ? compared : ', not compared with the backup (--verify compare does that)';
  return `${describeOrigin(completed, target)}; ${look}: ${kept}${how}`;
}

/** The line about a PVC that an earlier run completed and this one restores again. */
export function describeAgain(earlier: EarlierRestore, target: Target): string {
  return `${describeReason(earlier, target)}: restoring it again${earlier.state === 'forced' ? ' (--force)' : ''}`;
}

/** A TARGET_NOT_BLANK of a PVC that an earlier run completed, with the reason why it is not kept; any other error as it is. */
export function explainNotBlank(error: unknown, earlier: EarlierRestore | undefined, target: Target): unknown {
  if (earlier === undefined || !(error instanceof DatamoverError) || error.code !== 'TARGET_NOT_BLANK') return error;
  return new DatamoverError(error.code, `${error.message}; ${describeReason(earlier, target)}`, {
    hint: 'check that nothing on it is needed, then restore it again with --force; --pvc NAME restores only other PVCs',
    cause: error.cause,
  });
}

/** VERIFY_MISMATCH of a PVC that is kept. */
export function keptDiffers(completed: CompletedDisk, target: Target, place: string): DatamoverError {
  return new DatamoverError(
    'VERIFY_MISMATCH',
    `${target.path} differs from the backup${place}: ${describeOrigin(completed, target)}, this run did not write to it`,
    {
      hint: 'restore it again with --force if nothing on it is needed: it was changed since, or the device lost data (see `dmesg`)',
    },
  );
}

function describeReason({ state, disk }: EarlierRestore, target: Target): string {
  const origin = describeOrigin(disk, target);
  if (state === 'changed') return `${origin}, and it was changed since`;
  if (state === 'outdated') return `${origin}, but from objects that were replaced since`;
  return origin;
}

function describeOrigin({ restoredBy }: CompletedDisk, { path }: Target): string {
  if (restoredBy === undefined) return `an earlier run of this plan restored it to ${path}`;
  return `run ${restoredBy.runId} of this plan restored it to ${path} at ${restoredBy.finishedAt}`;
}
