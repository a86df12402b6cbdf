// Reads the bucket's documents through the store: a VM's index, rebuilt where it is lost, and the chain that a backup's manifest
// lists for it.
import { neededBy, tipsOf } from '../catalog/health.ts';
import { vmIndexKey } from '../catalog/keys.ts';
import { type ListedChain, parseVmIndex, type VmIndex, withFacts } from '../catalog/vm-index.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { invalidNameReason } from '../object-key.ts';
import { type Progress, silentProgress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { type FactsOptions, readFacts } from './facts.ts';
import { backupNotFound, checkpointNotFound, vmNotFound } from './not-found.ts';
import { readDocument } from './read-document.ts';
import { completeIndex, loadRebuilt } from './rebuild.ts';
import { loadManifest, readListedManifests, tipInBackup } from './vm-manifest.ts';

export interface VmBackup {
  readonly index: VmIndex;
  /** The checkpoint whose state is restored. */
  readonly tip: string;
  /** The chain as the backup's manifest lists it, full first; undefined where the parents are followed. */
  readonly ids: readonly string[] | undefined;
  /** Where the parents are followed: what manifests of backups that need the tip list, by key, to be held against them. */
  readonly manifests?: ReadonlyMap<string, ListedChain>;
}

interface Options {
  readonly progress?: Progress;
  readonly signal: AbortSignal;
  /** Archived backups of the VM that were read, for loading several of its backups. */
  readonly facts?: FactsOptions['known'];
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

/** As `loadVmIndex`, but an index that is missing or cannot be read is rebuilt from what is left of the VM. */
export async function loadOrRebuildIndex(store: ObjectStore, vm: VmRef, options: Options): Promise<VmIndex> {
  const { progress = silentProgress, signal } = options;
  try {
    return await loadVmIndex(store, vm, { signal });
  } catch (error) {
    const lost = lossOf(error);
    if (lost === undefined) throw error;
    const index = await loadRebuilt(store, { vm, lost }, { progress, signal });
    if (index.entries.length === 0) throw error;
    return index;
  }
}

/** Undefined for an error after which the index may still be there. */
export function lossOf(error: unknown): Problem | undefined {
  if (!(error instanceof DatamoverError)) return undefined;
  return error.code === 'OBJECT_MISSING' || error.code === 'METADATA_INVALID' ? error.problems[0] : undefined;
}

/**
 * The chain of a VM in a backup: as its manifest lists it, or, when that is missing, down from the newest checkpoint of
 * the index that the backup references. What the index lacks of it is rebuilt; `known` is one that was loaded. BACKUP_NOT_FOUND when no document knows the
 * backup; METADATA_INVALID.
 */
export async function loadVmBackup(
  store: ObjectStore,
  { vm, backup, known }: { readonly vm: VmRef; readonly backup: string; readonly known?: VmIndex | undefined },
  options: Options,
): Promise<VmBackup> {
  const { signal } = options;
  const index = known ?? (await loadOrRebuildIndex(store, vm, options));
  const manifest = await loadManifest(store, { index, backup }, { signal });
  const listed = manifest?.gaps === true && index.rebuilt !== undefined ? undefined : manifest?.checkpointChain;
  const tip =
    manifest?.checkpointChain.at(-1) ??
    tipsOf(index).get(backup) ??
    (await tipInBackup(store, { vm, backup }, { signal }));
  if (tip === undefined) throw withLoss(index, await backupNotFound(store, { index, backup }, { signal }));
  return await complete(store, { index, tip, ids: listed }, options);
}

/** The chain that ends at a checkpoint. BACKUP_NOT_FOUND when neither the index nor a directory has it. */
export async function loadVmCheckpoint(
  store: ObjectStore,
  { vm, checkpoint, known }: { readonly vm: VmRef; readonly checkpoint: string; readonly known?: VmIndex | undefined },
  options: Options,
): Promise<VmBackup> {
  const index = known ?? (await loadOrRebuildIndex(store, vm, options));
  const found = await complete(store, { index, tip: checkpoint, ids: undefined }, options);
  if (!found.index.byId.has(checkpoint)) throw withLoss(index, checkpointNotFound(index, checkpoint));
  return { ...found, manifests: await manifestsWith(store, found, options) };
}

/** Some of the manifests that list the tip, as its references name their backups; one that cannot be read is noted. */
async function manifestsWith(
  store: ObjectStore,
  { index, tip }: VmBackup,
  { progress = silentProgress, signal }: Options,
): Promise<Map<string, ListedChain>> {
  const backups = (index.byId.get(tip)?.[0]?.referencedBy ?? []).filter(
    (name) => invalidNameReason(name) === undefined,
  );
  return await readListedManifests(store, { vm: index.vm, backups: backups.slice(0, COMPARED) }, { progress, signal });
}

/** One that contradicts the index is enough, and a tip may be needed by many backups. */
const COMPARED = 8;

/** Rebuilds what the index lacks of a chain, and adds what its archived backups say. */
async function complete(store: ObjectStore, backup: VmBackup, options: Options): Promise<VmBackup> {
  const { progress = silentProgress, signal, facts: known } = options;
  const { index, tip, ids } = backup;
  const needed = ids ?? [...neededBy(index, tip)];
  const missing = missingFrom(index, [tip, ...needed]);
  const cutOff = needed.filter((id) => isCutOff(index, id));
  const completed = await completeIndex(store, index, { missing, cutOff }, { progress, signal });
  if (completed !== index) return await complete(store, { ...backup, index: completed }, options);
  // The manifest of a backup after a reset lists only what was left of the index then.
  if (index.rebuilt !== undefined && isIncremental(index, ids?.[0])) {
    return await complete(store, { ...backup, ids: undefined }, options);
  }
  return { ...backup, index: withFacts(index, await readFacts(store, index.vm, needed, { progress, signal, known })) };
}

/** An incremental whose parent no document names: the uploader's index was reset before it. */
function isCutOff(index: VmIndex, id: string): boolean {
  const entry = index.byId.get(id)?.[0];
  return isIncremental(index, id) && entry?.flaw === undefined && entry?.parent === undefined;
}

function isIncremental({ byId }: VmIndex, id: string | undefined): boolean {
  const entry = id === undefined ? undefined : byId.get(id)?.[0];
  return entry !== undefined && entry.flaw === undefined && entry.type === 'incremental' && entry.typedBy !== undefined;
}

/** Of these ids, and of the parents that they name, those that the index does not have. */
function missingFrom(index: VmIndex, ids: readonly string[]): string[] {
  const parents = ids.flatMap((id) => {
    const entry = index.byId.get(id)?.[0];
    return entry?.flaw === undefined && entry?.parent !== undefined ? [entry.parent] : [];
  });
  return [...new Set([...ids, ...parents])].filter((id) => !index.byId.has(id));
}

/** Where the index was rebuilt, its loss is reported with what could not be found without it. */
export function withLoss({ rebuilt }: VmIndex, error: DatamoverError): DatamoverError {
  return rebuilt === undefined ? error : DatamoverError.fromProblems([rebuilt.lost, ...error.problems], error);
}
