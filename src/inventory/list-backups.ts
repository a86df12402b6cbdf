// Collects the backups of a bucket: from their own documents, and from the VMs' indexes where those are missing.
import { backupPrefix, vmText } from '../catalog/keys.ts';
import { mapBounded } from '../concurrency.ts';
import { invalidNameReason } from '../object-key.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { findBackups } from './find-vms.ts';
import { LIST_REQUESTS, type ReadVm, type ReferencedVm } from './list-vms.ts';
import { type BackupDraft, type BackupVm, newDraft, type ReadBackupsOptions, readBackup } from './read-backup.ts';

export interface BackupListing {
  readonly name: string;
  readonly timestamp: string | null;
  readonly vms: readonly BackupVm[];
}

/** The content of the backups' documents, by the backup's name. */
export async function readBackups(store: ObjectStore, options: ReadBackupsOptions): Promise<Map<string, BackupDraft>> {
  const { backup, ignored, signal } = options;
  const onIgnored = (key: string): void => ignored.place(key);
  const names = backup === undefined ? await findBackups(store, { onIgnored, signal }) : [backup];
  const drafts = await mapBounded(names, { limit: LIST_REQUESTS, signal }, async (name, inner) => {
    const draft = newDraft(name);
    if (invalidNameReason(name) === undefined) await readBackup(store, draft, { ...options, signal: inner });
    return draft;
  });
  return new Map(drafts.map((draft) => [draft.name, draft]));
}

/** By VM: its tips in the documents of the backups. */
export function referencedVms(
  drafts: ReadonlyMap<string, BackupDraft>,
  only: VmRef | undefined,
): Map<string, ReferencedVm> {
  const referenced = new Map<string, ReferencedVm & { readonly tips: Map<string, string | null> }>();
  for (const [backup, { vms }] of drafts) {
    for (const [text, { namespace, name, checkpoint }] of vms) {
      if (only !== undefined && text !== vmText(only)) continue;
      const one = referenced.get(text) ?? { vm: { namespace, name }, tips: new Map<string, string | null>() };
      referenced.set(text, one);
      one.tips.set(backup, checkpoint);
    }
  }
  return referenced;
}

/**
 * Sorts out the documents that could not be read as manifests: one that has the name of a VM's manifest is a problem, any
 * other was put beside the manifests by another program.
 */
export function sortUnreadable(
  drafts: ReadonlyMap<string, BackupDraft>,
  read: readonly ReadVm[],
  { ignored, problems }: Pick<ReadBackupsOptions, 'ignored' | 'problems'>,
): void {
  const unreadable = [...drafts.values()].flatMap((draft) => draft.unreadable);
  if (unreadable.length === 0) return;
  const stems = new Set(read.flatMap(({ vm: { namespace, name } }) => [`${namespace}-${name}`, name]));
  for (const document of unreadable) {
    if (document.expected || stems.has(document.stem)) problems.push(...document.problems);
    else ignored.place(document.key);
  }
}

/** Backups, oldest first, completed from the indexes of their VMs; those without a VM of the filter are left out. */
export function toBackups(
  drafts: Map<string, BackupDraft>,
  read: readonly ReadVm[],
  { vm, backup, ignored }: Pick<ReadBackupsOptions, 'vm' | 'backup' | 'ignored'>,
): BackupListing[] {
  for (const { vm: ref, tips } of read) {
    for (const [name, { checkpoint, timestamp }] of tips) {
      if (backup !== undefined && name !== backup) continue;
      const draft = drafts.get(name) ?? newDraft(name);
      drafts.set(name, draft);
      if (timestamp !== undefined) draft.timestamps.push(timestamp);
      if (!draft.vms.get(vmText(ref))?.checkpoint) draft.vms.set(vmText(ref), { ...ref, checkpoint });
    }
  }
  const flaws = new Map(read.map((one) => [vmText(one.vm), one.flaws]));
  const listings: BackupListing[] = [];
  for (const draft of drafts.values()) {
    const listing = toBackupListing(draft, { vm, flaws });
    if (listing.vms.length > 0) listings.push(listing);
    else if (vm !== undefined || backup !== undefined) continue;
    else if (draft.documented) listings.push(listing);
    else ignored.place(backupPrefix(draft.name));
  }
  return listings.sort((a, b) => (a.timestamp ?? '').localeCompare(b.timestamp ?? '') || a.name.localeCompare(b.name));
}

function toBackupListing(
  { name, timestamps, vms }: BackupDraft,
  { vm, flaws }: { readonly vm: VmRef | undefined; readonly flaws: ReadonlyMap<string, ReadVm['flaws']> },
): BackupListing {
  const shown = [...vms.values()].filter((one) => vm === undefined || vmText(one) === vmText(vm));
  return {
    name,
    timestamp: timestamps[0] ?? null,
    vms: shown
      .map(({ namespace, name: vmName, checkpoint }): BackupVm => {
        const problem = flaws.get(vmText({ namespace, name: vmName }))?.get(name);
        return { namespace, name: vmName, checkpoint, ...(problem === undefined ? {} : { problem }) };
      })
      .sort((a, b) => vmText(a).localeCompare(vmText(b))),
  };
}
