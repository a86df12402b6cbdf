// Lists the content of a bucket: backups, VMs, disks, checkpoints, and which of them can be restored. Uses documents and
// listings only; no layer is opened.
import { listNames } from '../catalog/names.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import type { VmListing } from './evaluate-vm.ts';
import { Ignored } from './ignored.ts';
import { type BackupListing, readBackups, referencedVms, sortUnreadable, toBackups } from './list-backups.ts';
import { type ReadVm, readVms } from './list-vms.ts';
import { emptySource } from './not-found.ts';

/** The document of `list --output json`: its keys are a contract (design section 7). */
export interface Listing {
  readonly version: 1;
  /** `failed` when there are problems. */
  readonly result: 'ok' | 'failed';
  /** Oldest first. */
  readonly backups: readonly BackupListing[];
  /** By namespace and name. */
  readonly vms: readonly VmListing[];
  /** Unreadable documents, tips that no index has, and each fault that breaks chains, with the backups that it affects. */
  readonly problems: readonly Problem[];
}

export interface ListOptions {
  /** Only this VM, and the backups that contain it. BACKUP_NOT_FOUND when it does not exist. */
  readonly vm?: VmRef | undefined;
  /** Only this backup, its VMs, and the checkpoints that it needs. BACKUP_NOT_FOUND when it does not exist. */
  readonly backup?: string | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Lists the bucket. Broken documents become problems and do not stop the listing; a source that does not answer or denies the
 * listing rejects. What is not part of a backup is ignored, with a line in the log. Per-VM manifests are read when a filter is
 * given, else only where the per-backup index is not sufficient (5000 VMs in 30 backups would be 150,000 requests).
 */
export async function listBucket(store: ObjectStore, options: ListOptions): Promise<Listing> {
  const { vm, backup, progress, signal } = options;
  progress.report({ type: 'phase-started', phase: 'preflight', detail: `listing ${store.description}` });
  const started = performance.now();
  const problems: Problem[] = [];
  const ignored = new Ignored();
  const common = { vm, backup, ignored, problems, signal };
  const drafts = await readBackups(store, common);
  const read = await readVms(store, { ...common, progress, referenced: referencedVms(drafts, vm) });
  sortUnreadable(drafts, read, common);
  const backups = toBackups(drafts, read, common);
  if (backup !== undefined && backups.length === 0) throw missingBackupError(store, backup, read);
  const vms = read.flatMap(({ listing }) => (listing === undefined ? [] : [listing]));
  if (vms.length === 0 && backups.length === 0 && problems.length === 0) {
    problems.push(...(await emptySource(store, { signal })).problems);
  }
  ignored.report(progress);
  progress.report({ type: 'phase-finished', phase: 'preflight', seconds: (performance.now() - started) / 1000 });
  return { version: 1, result: problems.length === 0 ? 'ok' : 'failed', backups, vms, problems };
}

function missingBackupError(store: ObjectStore, backup: string, read: readonly ReadVm[]): DatamoverError {
  const known = [...new Set(read.flatMap(({ tips }) => [...tips.keys()]))];
  const near = closestMatch(backup, known);
  const found = known.length === 0 ? 'no other backups found' : `found: ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', `backup ${backup} not found in ${store.description}; ${found}`, {
    hint: near === undefined ? 'choose one of those backups' : `did you mean ${near}?`,
  });
}
