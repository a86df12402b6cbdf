// Reads the documents of one backup: its index, and the manifests of VMs that the index does not name.
import { backupDocument, parseDocument, type VmManifest } from '../catalog/documents.ts';
import { hasEmptyEntries } from '../catalog/empty-entries.ts';
import { backupIndexKey, backupPrefix, vmManifestKeys, vmText } from '../catalog/keys.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import type { Ignored } from './ignored.ts';
import { isDocumentError } from './list-vms.ts';
import { readDocument } from './read-document.ts';
import { readManifest } from './vm-manifest.ts';

export interface ReadBackupsOptions {
  readonly vm: VmRef | undefined;
  readonly backup: string | undefined;
  readonly ignored: Ignored;
  readonly problems: Problem[];
  readonly signal: AbortSignal;
}

export interface BackupVm extends VmRef {
  /** The tip; null when no document names it. */
  readonly checkpoint: string | null;
  /** Why the VM's index cannot restore it; absent when it can. */
  readonly problem?: string;
}

export interface BackupDraft {
  readonly name: string;
  /** The backup's own first, then those of its parts. */
  readonly timestamps: string[];
  readonly vms: Map<string, BackupVm>;
  /** Whether the backup has an index, be it unreadable. */
  documented: boolean;
  readonly unreadable: UnreadableDocument[];
}

/** A document beside the manifests that is no manifest, or a damaged one. */
interface UnreadableDocument {
  readonly key: string;
  /** Its name without `.json`: `<namespace>-<vm>` or `<vm>` for a manifest. */
  readonly stem: string;
  /** Whether it may be any VM's, since the backup's index does not name the VMs. */
  readonly expected: boolean;
  readonly problems: readonly Problem[];
}

export function newDraft(name: string): BackupDraft {
  return { name, timestamps: [], vms: new Map(), documented: false, unreadable: [] };
}

/** Adds what the backup's documents say to `draft`. Problems of single documents are collected; a failing source rejects. */
export async function readBackup(store: ObjectStore, draft: BackupDraft, options: ReadBackupsOptions): Promise<void> {
  const read = new Set<string>([backupIndexKey(draft.name)]);
  const indexed = await collectProblems(options, () => readIndex(store, draft, { ...options, read }));
  await collectProblems(options, async () => {
    const keys = (await manifestKeys(store, draft.name, options)).filter((key) => !read.has(key));
    const found = await mapBounded(keys, { limit: WITHIN_BACKUP, signal: options.signal }, (key, signal) =>
      readOne(store, draft, { key, expected: indexed !== true, signal }),
    );
    addManifests(draft, found, options);
  });
}

/** Concurrent requests of each backup; several backups are read at a time. */
const WITHIN_BACKUP = 4;

/** Whether the backup has an index that could be read; the keys of manifests that are not needed are added to `read`. */
async function readIndex(
  store: ObjectStore,
  draft: BackupDraft,
  { vm, backup, ignored, read, signal }: ReadBackupsOptions & { readonly read: Set<string> },
): Promise<boolean> {
  const key = backupIndexKey(draft.name);
  const data = await readDocument(store, key, { signal }).catch((error: unknown) => {
    draft.documented = true;
    throw error;
  });
  if (data === undefined) return false;
  draft.documented = true;
  if (hasEmptyEntries(data)) ignored.emptyEntries(key);
  const { timestamp, vms } = parseDocument(backupDocument, data, key);
  if (timestamp !== undefined) draft.timestamps.push(timestamp);
  for (const { namespace, name, checkpointId } of vms) {
    const ref = { namespace, name };
    draft.vms.set(vmText(ref), { ...ref, checkpoint: checkpointId ?? null });
    // With a filter the manifest is read too: there are few, and a damaged one is to be reported.
    const filtered = vm !== undefined || backup !== undefined;
    if (!filtered && checkpointId !== undefined) for (const one of vmManifestKeys(draft.name, ref)) read.add(one);
  }
  return true;
}

async function manifestKeys(
  store: ObjectStore,
  backup: string,
  { vm, ignored, signal }: ReadBackupsOptions,
): Promise<string[]> {
  const wanted = vm === undefined ? undefined : vmManifestKeys(backup, vm);
  const keys: string[] = [];
  for await (const { kind, key } of store.list(backupPrefix(backup), { signal })) {
    if (kind !== 'object' || !key.endsWith('.json')) continue;
    const stem = manifestName(key, backup);
    if (wanted !== undefined ? wanted.includes(key) : MANIFEST.test(stem)) keys.push(key);
    else if (wanted === undefined && !stem.startsWith('.')) ignored.place(key);
  }
  return keys;
}

/** `<namespace>-<vm>` or `<vm>`; not `demo-web (1)`, `copy of demo-web`, or `._demo-web`. */
const MANIFEST = /^[a-z0-9][-a-z0-9.]*$/;

function manifestName(key: string, backup: string): string {
  return key.slice(backupPrefix(backup).length, -'.json'.length);
}

interface FoundManifest {
  readonly key: string;
  readonly manifest: VmManifest;
}

async function readOne(
  store: ObjectStore,
  draft: BackupDraft,
  { key, expected, signal }: { readonly key: string; readonly expected: boolean; readonly signal: AbortSignal },
): Promise<FoundManifest | undefined> {
  try {
    const manifest = await readManifest(store, { key, signal });
    return manifest === undefined ? undefined : { key, manifest };
  } catch (error) {
    if (!isDocumentError(error)) throw error;
    draft.unreadable.push({ key, stem: manifestName(key, draft.name), expected, problems: error.problems });
    return undefined;
  }
}

/** A manifest counts only under its own names: a copy beside it may be older. */
function addManifests(
  { name: backup, timestamps, vms }: BackupDraft,
  found: readonly (FoundManifest | undefined)[],
  { ignored }: ReadBackupsOptions,
): void {
  const ranked: { readonly rank: number; readonly manifest: VmManifest }[] = [];
  for (const one of found) {
    if (one === undefined) continue;
    const { key, manifest } = one;
    const rank = [`${manifest.namespace}-${manifest.name}`, manifest.name].indexOf(manifestName(key, backup));
    if (rank === -1) ignored.place(key);
    else ranked.push({ rank, manifest });
  }
  // The likelier name last, so that it prevails.
  for (const { manifest } of ranked.sort((a, b) => b.rank - a.rank)) {
    const { namespace, name, checkpointChain, timestamp } = manifest;
    if (timestamp !== undefined) timestamps.push(timestamp);
    vms.set(vmText({ namespace, name }), { namespace, name, checkpoint: checkpointChain.at(-1) ?? null });
  }
}

/** The result of `work`; undefined when it failed because of a single document, whose problems are collected. */
async function collectProblems<T>({ problems }: ReadBackupsOptions, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isDocumentError(error)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}
