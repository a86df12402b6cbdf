// What the bucket holds: backups, VMs, disks, checkpoints, and whether each chain is whole. Finds it out from documents
// and listings alone; no layer is opened.
import type { VmRef } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { nearestWord } from '../did-you-mean.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { type BackupListing, readBackups, toBackups, toldVms } from './list-backups.ts';
import { type ReadVm, readVms, type VmListing } from './list-vms.ts';
import { emptySource } from './not-found.ts';

/** The document of `list --output json`: its keys are a contract (design section 7). */
export interface Listing {
  readonly version: 1;
  /** Oldest first. */
  readonly backups: readonly BackupListing[];
  /** By namespace and name. */
  readonly vms: readonly VmListing[];
  /** Documents that cannot be read, tips that no index holds, and each fault that breaks chains, with what is lost by it. */
  readonly problems: readonly Problem[];
}

export interface ListOptions {
  /** Just this VM, and the backups that hold it. BACKUP_NOT_FOUND when it is not there. */
  readonly vm?: VmRef | undefined;
  /** Just this backup, its VMs, and the checkpoints that it needs. BACKUP_NOT_FOUND when it is not there. */
  readonly backup?: string | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Lists the bucket. Documents that are broken become problems and do not stop the rest; a source that does not answer
 * or denies a listing rejects. Per-VM manifests are read when a filter is given, else just where the per-backup one
 * does not tell (5000 VMs in 30 backups would be 150,000 requests).
 */
export async function listBucket(store: ObjectStore, options: ListOptions): Promise<Listing> {
  const { vm, backup, progress, signal } = options;
  progress.report({ type: 'phase-started', phase: 'preflight', detail: `listing ${store.description}` });
  const began = performance.now();
  const problems: Problem[] = [];
  const drafts = await readBackups(store, { vm, backup, signal, problems });
  const read = await readVms(store, { vm, backup, told: toldVms(drafts, vm), signal, problems });
  const backups = toBackups(drafts, read, { vm, backup });
  if (backup !== undefined && backups.length === 0) throw noBackup(store, backup, read);
  const vms = read.flatMap(({ listing }) => (listing === undefined ? [] : [listing]));
  if (vms.length === 0 && backups.length === 0 && problems.length === 0) {
    problems.push(...(await emptySource(store, { signal })).problems);
  }
  progress.report({ type: 'phase-finished', phase: 'preflight', seconds: (performance.now() - began) / 1000 });
  return { version: 1, backups, vms, problems };
}

function noBackup(store: ObjectStore, backup: string, read: readonly ReadVm[]): DatamoverError {
  const known = [...new Set(read.flatMap(({ tips }) => [...tips.keys()]))];
  const near = nearestWord(backup, known);
  const held = known.length === 0 ? 'it holds none' : `it holds ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', `there is no backup ${backup} in ${store.description}; ${held}`, {
    hint: near === undefined ? 'name one of those backups' : `did you mean ${near}?`,
  });
}
