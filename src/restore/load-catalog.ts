// Reads the bucket's documents through the store: a VM's index, and the chain that a backup's manifest lists for it.

import { walkToFull } from '../catalog/chain.ts';
import { manifestDocument, parseDocument, type VmManifest } from '../catalog/documents.ts';
import { tipsOf } from '../catalog/health.ts';
import { type VmRef, vmIndexKey, vmManifestKeys } from '../catalog/keys.ts';
import { parseVmIndex, type VmIndex } from '../catalog/vm-index.ts';
import { DatamoverError, messageOf } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { MiB } from '../units.ts';
import { backupNotFound, checkpointNotFound, vmNotFound } from './not-found.ts';

/** Documents are far smaller: an index of 1000 checkpoints with 10 disks each takes 4 MiB. */
export const MAX_DOCUMENT_BYTES = 64 * MiB;

export interface VmBackup {
  readonly index: VmIndex;
  /** Checkpoints of the backup's chain, full first; proven per disk by `chainFromManifest`. */
  readonly ids: readonly string[];
}

/** BACKUP_NOT_FOUND when nothing is there of the VM, OBJECT_MISSING when all but its index is, CATALOG_INVALID. */
export async function loadVmIndex(
  store: ObjectStore,
  vm: VmRef,
  { signal }: { readonly signal: AbortSignal },
): Promise<VmIndex> {
  const data = await readDocument(store, vmIndexKey(vm), { signal });
  if (data === undefined) throw await vmNotFound(store, vm, { signal });
  return parseVmIndex(data, vm);
}

/**
 * The chain of a VM in a backup: as its manifest lists it, or, when that is lost, down from the newest checkpoint of
 * the index that the backup references. BACKUP_NOT_FOUND when neither knows the backup; CATALOG_INVALID, CHAIN_BROKEN.
 */
export async function loadVmBackup(
  store: ObjectStore,
  { vm, backup }: { readonly vm: VmRef; readonly backup: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<VmBackup> {
  const index = await loadVmIndex(store, vm, { signal });
  const manifest = await loadManifest(store, { vm, backup }, { signal });
  if (manifest !== undefined) return { index, ids: manifest.checkpointChain };
  const tip = tipsOf(index).get(backup);
  if (tip === undefined) throw await backupNotFound(store, { index, backup }, { signal });
  return { index, ids: walkToFull(index, tip) };
}

/** The chain that ends at a checkpoint. BACKUP_NOT_FOUND when the index does not know it. */
export async function loadVmCheckpoint(
  store: ObjectStore,
  { vm, checkpoint }: { readonly vm: VmRef; readonly checkpoint: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<VmBackup> {
  const index = await loadVmIndex(store, vm, { signal });
  if (!index.byId.has(checkpoint)) throw checkpointNotFound(index, checkpoint);
  return { index, ids: walkToFull(index, checkpoint) };
}

/**
 * The manifest of a VM in a backup, or undefined when there is none. Names are ambiguous (`a-b-c.json`), so one that is
 * another VM's inside is passed over.
 */
async function loadManifest(
  store: ObjectStore,
  { vm, backup }: { readonly vm: VmRef; readonly backup: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<VmManifest | undefined> {
  for (const key of vmManifestKeys(backup, vm)) {
    const data = await readDocument(store, key, { signal });
    if (data === undefined) continue;
    const manifest = parseDocument(manifestDocument, data, key);
    if (manifest.namespace === vm.namespace && manifest.name === vm.name) return manifest;
  }
  return undefined;
}

/**
 * A JSON document; undefined when there is no such object. CATALOG_INVALID, naming key and position, when it is no
 * JSON or over 64 MiB (which is found before it is read).
 */
export async function readDocument(
  store: ObjectStore,
  key: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<unknown> {
  let bytes: Uint8Array;
  try {
    bytes = await store.get(key, { maxBytes: MAX_DOCUMENT_BYTES, signal });
  } catch (error) {
    if (error instanceof DatamoverError && error.code === 'OBJECT_MISSING') return undefined;
    throw error;
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const where = `${store.describe(key)} (${bytes.length} bytes)`;
    throw new DatamoverError('CATALOG_INVALID', `${where} is no JSON: ${messageOf(error)}`, {
      hint: 'the document is damaged or cut short; compare it with another copy of the bucket',
      cause: error,
    });
  }
}
