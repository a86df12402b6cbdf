// Reads the VMs of a bucket: their indexes, their disks, and references of backups to checkpoints that the indexes lack.
import { hasEmptyEntries } from '../catalog/empty-entries.ts';
import { mergeTips } from '../catalog/health.ts';
import { CHECKPOINTS, vmIndexKey, vmPrefix, vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { parentsIn, parseVmIndex, soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { type EvaluatedVm, evaluateVm, type Tip, usableIds, type VmListing } from './evaluate-vm.ts';
import { findCheckpoints, findNamespaces, findVmNames } from './find-vms.ts';
import type { Ignored } from './ignored.ts';
import { indexNotFound, vmNotFound } from './not-found.ts';
import { readDocument } from './read-document.ts';
import { completeIndex, loadRebuilt } from './rebuild.ts';
import { lossOf } from './vm-backup.ts';

/** What is kept of a VM after its index, which may be large, was evaluated. */
export interface ReadVm {
  readonly vm: VmRef;
  /** By backup: the tip. */
  readonly tips: ReadonlyMap<string, Tip>;
  /** By backup that cannot be restored by the VM's index: why. */
  readonly flaws: ReadonlyMap<string, string>;
  /** Undefined for a VM that the filter excludes. */
  readonly listing: VmListing | undefined;
}

export interface ReferencedVm {
  readonly vm: VmRef;
  /** By backup; null where its documents do not name the checkpoint. */
  readonly tips: ReadonlyMap<string, string | null>;
}

export interface ReadVmsOptions {
  /** Only this one, which must exist. */
  readonly vm: VmRef | undefined;
  /** Only its VMs, and the checkpoints that it needs. */
  readonly backup: string | undefined;
  /** The VMs that the documents of the backups name, by the VM. */
  readonly referenced: ReadonlyMap<string, ReferencedVm>;
  readonly ignored: Ignored;
  readonly problems: Problem[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Concurrent small requests. */
export const LIST_REQUESTS = 16;

/**
 * Reads every VM's index, lists its layers and evaluates its disks; by namespace and name. An unreadable index is a problem
 * among others, as is a missing one where the VM has layers or backups name it. A directory with neither is no VM and is
 * ignored, but BACKUP_NOT_FOUND is thrown when that VM was asked for.
 */
export async function readVms(store: ObjectStore, options: ReadVmsOptions): Promise<ReadVm[]> {
  const { vm, referenced, signal, problems } = options;
  const found = vm === undefined ? await findVms(store, options) : [vm];
  const known = new Set(found.map(vmText));
  const missing = [...referenced.values()].filter((one) => !known.has(vmText(one.vm)));
  // One VM's checkpoints may be many; many VMs already use all requests.
  const limit = found.length > LIST_REQUESTS ? 1 : LIST_REQUESTS;
  const read = await mapBounded(found, { limit: LIST_REQUESTS, signal }, async (ref, inner) => {
    try {
      return await readVm(store, ref, { ...options, limit, signal: inner });
    } catch (error) {
      if (!isDocumentError(error) || error.code === 'BACKUP_NOT_FOUND') throw error;
      const known = unreadableVm(ref, { ...options, known: referenced.get(vmText(ref)), error });
      return await readRebuilt(store, ref, { options: { ...options, limit, signal: inner }, error, known });
    }
  });
  const all = [...read.filter((one) => one !== undefined), ...missing.map(vmWithoutIndex)];
  all.sort((a, b) => compareNames(a.vm, b.vm));
  for (const one of all) problems.push(...one.problems);
  return all;
}

interface LostVm {
  readonly options: ReadOptions;
  readonly error: DatamoverError;
  /** What is known without rebuilding the index. */
  readonly known: ReadVmWithProblems;
}

/** Of a VM whose index is missing or unreadable: its disks by a rebuilt one, where any of them can be restored. */
async function readRebuilt(
  store: ObjectStore,
  vm: VmRef,
  { options, error, known }: LostVm,
): Promise<ReadVmWithProblems> {
  const { progress, signal } = options;
  const lost = lossOf(error);
  if (lost === undefined || known.listing === undefined) return known;
  const index = await loadRebuilt(store, { vm, lost }, { progress, signal });
  const ofBackups = options.referenced.get(vmText(vm))?.tips ?? new Map<string, string | null>();
  const read = await evaluateVm(store, index, { ofBackups, options });
  const usable = new Set(usableIds(read));
  if (usable.size === 0) return known;
  return { ...read, flaws: withoutUsable(known.flaws, usable, read), problems: [lost, ...read.problems] };
}

/** The VMs that have a directory. A namespace that cannot be listed is a problem among others. */
async function findVms(store: ObjectStore, { ignored, problems, signal }: ReadVmsOptions): Promise<VmRef[]> {
  const onIgnored = (key: string): void => ignored.place(key);
  const namespaces = await findNamespaces(store, { onIgnored, signal });
  const found = await mapBounded(namespaces, { limit: LIST_REQUESTS, signal }, async (namespace, inner) => {
    try {
      const names = await findVmNames(store, namespace, { onIgnored, signal: inner });
      return names.map((name): VmRef => ({ namespace, name }));
    } catch (error) {
      if (!isDocumentError(error)) throw error;
      problems.push(...error.problems);
      return [];
    }
  });
  return found.flat();
}

type ReadOptions = ReadVmsOptions & { readonly limit: number };

type ReadVmWithProblems = ReadVm & { readonly problems: readonly Problem[] };

async function readVm(store: ObjectStore, vm: VmRef, options: ReadOptions): Promise<ReadVmWithProblems | undefined> {
  const { ignored, signal } = options;
  const data = await readDocument(store, vmIndexKey(vm), { signal });
  if (data === undefined) return await readWithoutIndex(store, vm, options);
  if (hasEmptyEntries(data)) ignored.emptyEntries(vmIndexKey(vm));
  return await readByIndex(store, parseVmIndex(data, vm), options);
}

async function readByIndex(store: ObjectStore, known: VmIndex, options: ReadOptions): Promise<ReadVmWithProblems> {
  const { backup, referenced } = options;
  const { vm } = known;
  const ofBackups = referenced.get(vmText(vm))?.tips ?? new Map<string, string | null>();
  const { flaws, problems } = findUnindexedTips(known, ofBackups);
  if (backup !== undefined && !mergeTips(known, ofBackups).has(backup) && !ofBackups.has(backup)) {
    return { ...(await evaluateVm(store, known, { ofBackups, options: undefined })), flaws, problems: [] };
  }
  const rebuilt = await withReferenced(store, known, { ofBackups, options });
  const read = rebuilt === known ? undefined : await evaluateVm(store, rebuilt, { ofBackups, options });
  const usable = new Set(usableIds(read));
  if (read === undefined || !rebuilt.rebuilt?.ids.some((id) => usable.has(id))) {
    const { problems: ofDisks, ...found } = await evaluateVm(store, known, { ofBackups, options });
    return { ...found, flaws, problems: [...problems, ...ofDisks] };
  }
  const lost = problems.length > 0 ? problems : [rebuilt.rebuilt.lost];
  return { ...read, flaws: withoutUsable(flaws, usable, read), problems: [...lost, ...read.problems] };
}

/** The flaws of backups whose tip cannot be restored. */
function withoutUsable(
  flaws: ReadonlyMap<string, string>,
  usable: ReadonlySet<string>,
  { tips }: EvaluatedVm,
): Map<string, string> {
  return new Map([...flaws].filter(([backup]) => !usable.has(tips.get(backup)?.checkpoint ?? '')));
}

/** What the index lacks of the checkpoints that backups and other checkpoints name is rebuilt. */
async function withReferenced(
  store: ObjectStore,
  index: VmIndex,
  { ofBackups, options }: { readonly ofBackups: ReadonlyMap<string, string | null>; readonly options: ReadOptions },
): Promise<VmIndex> {
  const tips = [...ofBackups.values()].filter((tip) => tip !== null);
  const missing = [...new Set([...tips, ...parentsIn(index)])].filter((id) => !index.byId.has(id));
  const cutOff = soundCheckpoints(index).flatMap(({ id, type, parent }) =>
    type === 'incremental' && parent === undefined ? [id] : [],
  );
  return await completeIndex(store, index, { missing, cutOff }, options);
}

/** Undefined for a directory that is no VM: no index, no layers, and named by no backup. */
async function readWithoutIndex(
  store: ObjectStore,
  ref: VmRef,
  { vm, referenced, ignored, signal }: ReadVmsOptions,
): Promise<ReadVmWithProblems | undefined> {
  const checkpoints = await findCheckpoints(store, ref, { signal });
  if (checkpoints.length > 0) throw indexNotFound(store, ref, checkpoints);
  const known = referenced.get(vmText(ref));
  if (known !== undefined) return vmWithoutIndex(known);
  if (vm !== undefined) throw await vmNotFound(store, ref, { signal });
  ignored.place(vmPrefix(ref));
  return undefined;
}

/** One whose index is missing or unreadable, though its directory has layers. */
function unreadableVm(
  vm: VmRef,
  { backup, known, error }: { backup: string | undefined; known: ReferencedVm | undefined; error: DatamoverError },
): ReadVmWithProblems {
  const why = error.code === 'OBJECT_MISSING' ? "the VM's index is missing" : "the VM's index cannot be read";
  const flaws = new Map([...(known?.tips.keys() ?? [])].map((name) => [name, why]));
  const wanted = backup === undefined || flaws.has(backup);
  return { vm, tips: new Map(), flaws, listing: wanted ? { ...vm, disks: [] } : undefined, problems: error.problems };
}

/** One of which only manifests exist. */
function vmWithoutIndex({ vm, tips }: ReferencedVm): ReadVmWithProblems {
  const backups = [...tips.keys()];
  const problem: Problem = {
    code: 'OBJECT_MISSING',
    message: `${vmIndexKey(vm)}: index and checkpoints of VM ${vmText(vm)} not found, but backups contain it: ${listNames(backups)}`,
    hint: `restore ${CHECKPOINTS}${vmText(vm)}/ from another copy of the bucket`,
  };
  const flaws = new Map(backups.map((name) => [name, "the VM's index is missing"]));
  return { vm, tips: new Map(), flaws, listing: { ...vm, disks: [] }, problems: [problem] };
}

/** Backups whose tip not found in the index. */
function findUnindexedTips(
  index: VmIndex,
  tips: ReadonlyMap<string, string | null>,
): { readonly flaws: ReadonlyMap<string, string>; readonly problems: readonly Problem[] } {
  const absent = [...tips].flatMap(([backup, tip]) => (tip === null || index.byId.has(tip) ? [] : [{ backup, tip }]));
  const problems = [...Map.groupBy(absent, ({ tip }) => tip)].map(
    ([tip, ends]): Problem => ({
      code: 'CHAIN_BROKEN',
      message: `${index.key}: checkpoint ${tip} of VM ${vmText(index.vm)} not found, but backups need it: ${listNames(ends.map(({ backup }) => backup))}`,
      hint: 'restore the index from another copy of the bucket, or restore a backup or checkpoint that it lists as restorable',
    }),
  );
  return { flaws: new Map(absent.map(({ backup, tip }) => [backup, `${tip} is not in the VM's index`])), problems };
}

function compareNames(a: VmRef, b: VmRef): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Whether an error concerns one document or directory, so that the others can still be read. */
export function isDocumentError(error: unknown): error is DatamoverError {
  return error instanceof DatamoverError && DOCUMENT_CODES.has(error.code);
}

const DOCUMENT_CODES: ReadonlySet<string> = new Set([
  'METADATA_INVALID',
  'OBJECT_MISSING',
  'BACKUP_NOT_FOUND',
  'ACCESS_DENIED',
  'OBJECT_CHANGED',
]);
