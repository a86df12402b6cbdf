// Reads the manifests of a VM: the chain that each backup lists for it, and thereby its tip in each.
import { backupDocument, manifestDocument, parseDocument, type VmManifest } from '../catalog/documents.ts';
import { mergeTips, tipsOf } from '../catalog/health.ts';
import { backupIndexKey, vmManifestKeys, vmText } from '../catalog/keys.ts';
import type { ListedManifest } from '../catalog/rebuild.ts';
import type { ListedChain, VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { commandLine } from './command-line.ts';
import { findBackups } from './find-vms.ts';
import { readDocument } from './read-document.ts';

interface Options {
  readonly signal: AbortSignal;
}

/**
 * The manifest of a VM in a backup; undefined when the backup has none. Names are ambiguous (`a-b-c.json`), so one that names
 * another VM inside is skipped. METADATA_INVALID for a damaged one; the hint shows how to do without it.
 */
export async function loadManifest(
  store: ObjectStore,
  { index, backup }: { readonly index: VmIndex; readonly backup: string },
  { signal }: Options,
): Promise<VmManifest | undefined> {
  for (const key of vmManifestKeys(backup, index.vm)) {
    const manifest = await readManifest(store, { key, vm: index.vm, tip: tipsOf(index).get(backup), signal });
    if (manifest?.namespace === index.vm.namespace && manifest.name === index.vm.name) return manifest;
  }
  return undefined;
}

/** The manifest of the VM in each backup, by key; one that cannot be read is noted, since any other may prove the order as well. */
export async function readListedManifests(
  store: ObjectStore,
  { vm, backups }: { readonly vm: VmRef; readonly backups: readonly string[] },
  { progress, signal }: Options & { readonly progress: Progress },
): Promise<Map<string, ListedManifest>> {
  const onUnreadable = (message: string): void =>
    progress.report({ type: 'info', message: `ignored a manifest that cannot be read: ${message}` });
  const found = await mapBounded(backups, { limit: REQUESTS, signal }, async (backup, inner) => {
    const manifest = await readListedManifest(store, { vm, backup }, { onUnreadable, signal: inner });
    return manifest === undefined ? undefined : ([manifest.key, { ...manifest, backup }] as const);
  });
  return new Map(found.filter((one) => one !== undefined));
}

/** As `loadManifest`, but a damaged manifest counts as none, and is passed to `onUnreadable`. */
async function readListedManifest(
  store: ObjectStore,
  { vm, backup }: { readonly vm: VmRef; readonly backup: string },
  { onUnreadable, signal }: Options & { readonly onUnreadable: (message: string) => void },
): Promise<(ListedChain & { readonly key: string }) | undefined> {
  for (const key of vmManifestKeys(backup, vm)) {
    try {
      const manifest = await readManifest(store, { key, vm, signal });
      if (manifest?.namespace !== vm.namespace || manifest.name !== vm.name) continue;
      return { key, ids: manifest.checkpointChain, gaps: manifest.gaps };
    } catch (error) {
      if (!(error instanceof DatamoverError) || !UNREADABLE.has(error.code)) throw error;
      onUnreadable(error.message);
    }
  }
  return undefined;
}

const UNREADABLE: ReadonlySet<string> = new Set(['METADATA_INVALID', 'ACCESS_DENIED', 'OBJECT_CHANGED']);

/** The tip of a VM that a backup's own index names; undefined where it names none, or cannot be read. */
export async function tipInBackup(
  store: ObjectStore,
  { vm, backup }: { readonly vm: VmRef; readonly backup: string },
  { signal }: Options,
): Promise<string | undefined> {
  try {
    const key = backupIndexKey(backup);
    const data = await readDocument(store, key, { signal });
    const vms = data === undefined ? [] : parseDocument(backupDocument, data, key).vms;
    return vms.find(({ namespace, name }) => namespace === vm.namespace && name === vm.name)?.checkpointId;
  } catch (error) {
    if (!(error instanceof DatamoverError) || !UNREADABLE.has(error.code)) throw error;
    return undefined;
  }
}

/** The manifest at `key`; undefined when there is no such object. `vm` and `tip`, where they are known, are for the hint. */
export async function readManifest(
  store: ObjectStore,
  { key, vm, tip, signal }: Options & { readonly key: string; readonly vm?: VmRef; readonly tip?: string | undefined },
): Promise<VmManifest | undefined> {
  try {
    const data = await readDocument(store, key, { signal });
    return data === undefined ? undefined : parseDocument(manifestDocument, data, key);
  } catch (error) {
    if (!(error instanceof DatamoverError) || error.code !== 'METADATA_INVALID') throw error;
    const flags = [...(vm === undefined ? [] : [`--vm=${vmText(vm)}`]), `--checkpoint=${tip ?? 'ID'}`];
    throw new DatamoverError('METADATA_INVALID', error.message, {
      hint: `restore a checkpoint without this manifest: ${commandLine(store, 'plan', ...flags)}; or compare it with another copy of the bucket`,
      cause: error,
    });
  }
}

/** Small requests at a time. */
const REQUESTS = 16;

export interface FoundTips {
  /** By backup, oldest first. */
  readonly tips: ReadonlyMap<string, string>;
  /** Of manifests that could not be read: their tips are missing above. */
  readonly problems: readonly Problem[];
}

/**
 * The tips of all backups that contain the VM: from the references in its index, and from the manifests, else the indexes, of backups
 * that its index does not name. Costs a listing of the backups, and up to three small reads for each of those.
 */
export async function loadTips(store: ObjectStore, index: VmIndex, { signal }: Options): Promise<FoundTips> {
  const named = tipsOf(index);
  const others = (await findBackups(store, { signal })).filter((name) => !named.has(name));
  const problems: Problem[] = [];
  const found = await mapBounded(others, { limit: REQUESTS, signal }, async (backup, inner) => {
    try {
      const manifest = await loadManifest(store, { index, backup }, { signal: inner });
      const tip =
        manifest?.checkpointChain.at(-1) ?? (await tipInBackup(store, { vm: index.vm, backup }, { signal: inner }));
      return [backup, tip] as const;
    } catch (error) {
      if (!(error instanceof DatamoverError) || error.code !== 'METADATA_INVALID') throw error;
      problems.push(...error.problems);
      return [backup, undefined] as const;
    }
  });
  return { tips: mergeTips(index, new Map(found)), problems };
}
