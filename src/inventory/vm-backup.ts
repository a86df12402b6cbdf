// Reads the bucket's documents through the store: a VM's index, and the chain that a backup's manifest lists for it.
import { walkToFull } from '../catalog/chain.ts';
import { tipsOf } from '../catalog/health.ts';
import { vmIndexKey } from '../catalog/keys.ts';
import { parseVmIndex, type VmIndex } from '../catalog/vm-index.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { backupNotFound, checkpointNotFound, vmNotFound } from './not-found.ts';
import { readDocument } from './read-document.ts';
import { loadManifest } from './vm-manifest.ts';

export interface VmBackup {
  readonly index: VmIndex;
  /** Checkpoints of the backup's chain, full first; proven per disk by `chainFromManifest`. */
  readonly ids: readonly string[];
}

/** BACKUP_NOT_FOUND when the VM has neither index nor layers, OBJECT_MISSING when only its index is missing, METADATA_INVALID. */
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
 * The chain of a VM in a backup: as its manifest lists it, or, when that is missing, down from the newest checkpoint of
 * the index that the backup references. BACKUP_NOT_FOUND when neither knows the backup; METADATA_INVALID, CHAIN_BROKEN.
 */
export async function loadVmBackup(
  store: ObjectStore,
  { vm, backup }: { readonly vm: VmRef; readonly backup: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<VmBackup> {
  const index = await loadVmIndex(store, vm, { signal });
  const manifest = await loadManifest(store, { index, backup }, { signal });
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
