// The backups of a bucket: from their own documents, and from the VMs' indexes where those are lost.
import { backupDocument, parseDocument } from '../catalog/documents.ts';
import { backupIndexKey, backupPrefix, type VmRef, vmManifestKeys, vmText } from '../catalog/keys.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import { whyNoName } from '../object-key.ts';
import type { ObjectStore } from '../store/store.ts';
import { isOneDocuments, LIST_REQUESTS, type ReadVm, type ToldVm } from './list-vms.ts';
import { readDocument } from './read-document.ts';
import { backupFolders, readManifest } from './vm-manifest.ts';

export interface BackupListing {
  readonly name: string;
  readonly timestamp: string | null;
  readonly vms: readonly BackupVm[];
}

export interface BackupVm extends VmRef {
  /** The tip; null when no document tells. */
  readonly checkpoint: string | null;
  /** Why the VM's index cannot say how to restore it; absent when it can. */
  readonly problem?: string;
}

export interface ReadBackupsOptions {
  readonly vm: VmRef | undefined;
  readonly backup: string | undefined;
  readonly problems: Problem[];
  readonly signal: AbortSignal;
}

/** What the documents of the backups tell, by name. */
export async function readBackups(store: ObjectStore, options: ReadBackupsOptions): Promise<Map<string, BackupDraft>> {
  const { backup, signal } = options;
  const names = backup === undefined ? await backupFolders(store, { signal }) : [backup];
  const drafts = await mapBounded(names, { limit: LIST_REQUESTS, signal }, async (name, inner) => {
    const draft = newDraft(name);
    if (whyNoName(name) === undefined) await readFolder(store, draft, { ...options, signal: inner });
    return draft;
  });
  return new Map(drafts.map((draft) => [draft.name, draft]));
}

/** By VM: its tips, as the documents of the backups tell them. */
export function toldVms(drafts: ReadonlyMap<string, BackupDraft>, only: VmRef | undefined): Map<string, ToldVm> {
  const told = new Map<string, ToldVm & { readonly tips: Map<string, string | null> }>();
  for (const [backup, { vms }] of drafts) {
    for (const [text, { namespace, name, checkpoint }] of vms) {
      if (only !== undefined && text !== vmText(only)) continue;
      const one = told.get(text) ?? { vm: { namespace, name }, tips: new Map<string, string | null>() };
      told.set(text, one);
      one.tips.set(backup, checkpoint);
    }
  }
  return told;
}

/** Backups, oldest first, with what the indexes of their VMs add; those that hold no VM of the filter are left out. */
export function toBackups(
  drafts: Map<string, BackupDraft>,
  read: readonly ReadVm[],
  { vm, backup }: Pick<ReadBackupsOptions, 'vm' | 'backup'>,
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
  return [...drafts.values()]
    .map((draft) => toListing(draft, { vm, flaws }))
    .filter((listing) => listing.vms.length > 0 || (vm === undefined && backup === undefined))
    .sort((a, b) => (a.timestamp ?? '').localeCompare(b.timestamp ?? '') || a.name.localeCompare(b.name));
}

export interface BackupDraft {
  readonly name: string;
  /** The backup's own first, then those of its parts. */
  readonly timestamps: string[];
  readonly vms: Map<string, BackupVm>;
}

function newDraft(name: string): BackupDraft {
  return { name, timestamps: [], vms: new Map() };
}

async function readFolder(store: ObjectStore, draft: BackupDraft, options: ReadBackupsOptions): Promise<void> {
  const told = new Set<string>([backupIndexKey(draft.name)]);
  await collecting(options, async () => {
    const data = await readDocument(store, backupIndexKey(draft.name), options);
    if (data === undefined) return;
    const { timestamp, vms } = parseDocument(backupDocument, data, backupIndexKey(draft.name));
    if (timestamp !== undefined) draft.timestamps.push(timestamp);
    for (const { namespace, name, checkpointId } of vms) {
      const vm = { namespace, name };
      draft.vms.set(vmText(vm), { ...vm, checkpoint: checkpointId ?? null });
      // With a filter its manifest is read all the same: few are, and a broken one is to be told.
      const filtered = options.vm !== undefined || options.backup !== undefined;
      if (!filtered && checkpointId !== undefined) for (const key of vmManifestKeys(draft.name, vm)) told.add(key);
    }
  });
  const keys = (await manifestKeys(store, draft.name, options)).filter((key) => !told.has(key));
  await mapBounded(keys, { limit: WITHIN_BACKUP, signal: options.signal }, async (key, signal) => {
    await collecting(options, async () => await addManifest(store, draft, { key, signal }));
  });
}

/** Requests at a time of each backup; several are read at once. */
const WITHIN_BACKUP = 4;

async function manifestKeys(store: ObjectStore, backup: string, { vm, signal }: ReadBackupsOptions): Promise<string[]> {
  const wanted = vm === undefined ? undefined : vmManifestKeys(backup, vm);
  const keys: string[] = [];
  for await (const { kind, key } of store.list(backupPrefix(backup), { signal })) {
    if (kind === 'object' && key.endsWith('.json') && (wanted === undefined || wanted.includes(key))) keys.push(key);
  }
  return keys;
}

async function addManifest(
  store: ObjectStore,
  { timestamps, vms }: BackupDraft,
  { key, signal }: { readonly key: string; readonly signal: AbortSignal },
): Promise<void> {
  const manifest = await readManifest(store, { key, signal });
  if (manifest === undefined) return;
  const { namespace, name, checkpointChain, timestamp } = manifest;
  if (timestamp !== undefined) timestamps.push(timestamp);
  vms.set(vmText({ namespace, name }), { namespace, name, checkpoint: checkpointChain.at(-1) ?? null });
}

/** Does `work`; what is wrong with the one document that it reads is put with the problems. */
async function collecting({ problems }: ReadBackupsOptions, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isOneDocuments(error)) throw error;
    problems.push(...error.problems);
  }
}

function toListing(
  { name, timestamps, vms }: BackupDraft,
  { vm, flaws }: { readonly vm: VmRef | undefined; readonly flaws: ReadonlyMap<string, ReadVm['flaws']> },
): BackupListing {
  const held = [...vms.values()].filter((one) => vm === undefined || vmText(one) === vmText(vm));
  return {
    name,
    timestamp: timestamps[0] ?? null,
    vms: held
      .map(({ namespace, name: vmName, checkpoint }): BackupVm => {
        const problem = flaws.get(vmText({ namespace, name: vmName }))?.get(name);
        return { namespace, name: vmName, checkpoint, ...(problem === undefined ? {} : { problem }) };
      })
      .sort((a, b) => vmText(a).localeCompare(vmText(b))),
  };
}
