// The backups of a bucket: from their own documents, and from the VMs' indexes where those are lost.
import { backupDocument, manifestDocument, parseDocument } from '../catalog/documents.ts';
import { backupIndexKey, backupPrefix, MANIFESTS, type VmRef, vmManifestKeys, vmText } from '../catalog/keys.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import { whyNoName } from '../object-key.ts';
import type { ObjectStore } from '../store/store.ts';
import { isOneDocuments, LIST_REQUESTS, type ReadVm } from './list-vms.ts';
import { readDocument } from './load-catalog.ts';

export interface BackupListing {
  readonly name: string;
  readonly timestamp: string | null;
  readonly vms: readonly BackupVm[];
}

export interface BackupVm extends VmRef {
  /** The tip; null when no document tells. */
  readonly checkpoint: string | null;
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
  const names = backup === undefined ? await backupFolders(store, signal) : [backup];
  const drafts = await mapBounded(names, { limit: LIST_REQUESTS, signal }, async (name, inner) => {
    const draft = newDraft(name);
    if (whyNoName(name) === undefined) await readFolder(store, draft, { ...options, signal: inner });
    return draft;
  });
  return new Map(drafts.map((draft) => [draft.name, draft]));
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
  return [...drafts.values()]
    .map((draft) => toListing(draft, vm))
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

async function backupFolders(store: ObjectStore, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  for await (const { kind, key } of store.list(MANIFESTS, { signal })) {
    if (kind === 'prefix') names.push(key.slice(MANIFESTS.length, -1));
  }
  return names;
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
    await collecting(options, async () => await readManifest(store, draft, { key, signal }));
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

async function readManifest(
  store: ObjectStore,
  { timestamps, vms }: BackupDraft,
  { key, signal }: { readonly key: string; readonly signal: AbortSignal },
): Promise<void> {
  const data = await readDocument(store, key, { signal });
  if (data === undefined) return;
  const { namespace, name, checkpointChain, timestamp } = parseDocument(manifestDocument, data, key);
  if (timestamp !== undefined) timestamps.push(timestamp);
  const checkpoint = checkpointChain.at(-1) ?? null;
  vms.set(vmText({ namespace, name }), { namespace, name, checkpoint });
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

function toListing({ name, timestamps, vms }: BackupDraft, vm: VmRef | undefined): BackupListing {
  const held = [...vms.values()].filter((one) => vm === undefined || vmText(one) === vmText(vm));
  return {
    name,
    timestamp: timestamps[0] ?? null,
    vms: held
      .map(({ namespace, name: vmName, checkpoint }) => ({ namespace, name: vmName, checkpoint }))
      .sort((a, b) => vmText(a).localeCompare(vmText(b))),
  };
}
