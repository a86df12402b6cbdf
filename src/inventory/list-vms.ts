// The VMs of a bucket: their indexes, their disks, and what the backups say of them that the indexes do not bear out.
import { mergeTips } from '../catalog/health.ts';
import { CHECKPOINTS, checkpointPrefix, type VmRef, vmIndexKey, vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { whyNoName } from '../object-key.ts';
import type { ObjectStore } from '../store/store.ts';
import { type DiskListing, judgeDisks } from './list-disks.ts';
import { loadVmIndex } from './vm-backup.ts';

export interface VmListing extends VmRef {
  readonly disks: readonly DiskListing[];
}

/** What is kept of a VM once its index, which may be large, was judged. */
export interface ReadVm {
  readonly vm: VmRef;
  /** By backup: the tip. */
  readonly tips: ReadonlyMap<string, Tip>;
  /** By backup that cannot be restored by the VM's index: why. */
  readonly flaws: ReadonlyMap<string, string>;
  /** Undefined for a VM that is not wanted. */
  readonly listing: VmListing | undefined;
}

export interface Tip {
  readonly checkpoint: string;
  readonly timestamp: string | undefined;
}

export interface ToldVm {
  readonly vm: VmRef;
  /** By backup; null where its documents do not tell. */
  readonly tips: ReadonlyMap<string, string | null>;
}

export interface ReadVmsOptions {
  /** Just this one, which must be there. */
  readonly vm: VmRef | undefined;
  /** Just its VMs, and the checkpoints that it needs. */
  readonly backup: string | undefined;
  /** What the documents of the backups say of the VMs, by the VM. */
  readonly told: ReadonlyMap<string, ToldVm>;
  readonly problems: Problem[];
  readonly signal: AbortSignal;
}

/** Small requests at a time. */
export const LIST_REQUESTS = 16;

/**
 * Reads every VM's index, looks its layers up and judges its disks; by namespace and name. An index that cannot be read
 * is a problem among others, as is one that is not there though backups hold the VM; but BACKUP_NOT_FOUND is thrown
 * when just one VM was asked for, and nothing tells of it.
 */
export async function readVms(store: ObjectStore, options: ReadVmsOptions): Promise<ReadVm[]> {
  const { vm, told, signal, problems } = options;
  const found = vm === undefined ? await findVms(store, signal) : [vm];
  const there = new Set(found.map(vmText));
  const lost = [...told.values()].filter((one) => !there.has(vmText(one.vm)));
  // One VM's checkpoints may be many; many VMs are enough to be busy with.
  const limit = found.length > LIST_REQUESTS ? 1 : LIST_REQUESTS;
  const read = await mapBounded(found, { limit: LIST_REQUESTS, signal }, async (ref, inner) => {
    try {
      return await readVm(store, ref, { ...options, limit, signal: inner });
    } catch (error) {
      if (!isOneDocuments(error)) throw error;
      const known = told.get(vmText(ref));
      if (error.code !== 'BACKUP_NOT_FOUND') return unreadVm(ref, { ...options, known, error });
      if (known !== undefined) return lostVm(known);
      if (vm !== undefined) throw error;
      return unreadVm(ref, { ...options, known, error });
    }
  });
  const all = [...read, ...lost.map(lostVm)].sort((a, b) => compareNames(a.vm, b.vm));
  for (const one of all) problems.push(...one.problems);
  return all;
}

type ReadVmWithProblems = ReadVm & { readonly problems: readonly Problem[] };

/** One whose index is not to be had, though something lies in its folder. */
function unreadVm(
  vm: VmRef,
  { backup, known, error }: { backup: string | undefined; known: ToldVm | undefined; error: DatamoverError },
): ReadVmWithProblems {
  const why = error.code === 'OBJECT_MISSING' ? "the VM's index is missing" : "the VM's index cannot be read";
  const flaws = new Map([...(known?.tips.keys() ?? [])].map((name) => [name, why]));
  const wanted = backup === undefined || flaws.has(backup);
  return { vm, tips: new Map(), flaws, listing: wanted ? { ...vm, disks: [] } : undefined, problems: error.problems };
}

/** One of which there are just the manifests. */
function lostVm({ vm, tips }: ToldVm): ReadVmWithProblems {
  const backups = [...tips.keys()];
  const problem: Problem = {
    code: 'OBJECT_MISSING',
    message: `the index of VM ${vmText(vm)}, ${vmIndexKey(vm)}, is missing, and all of its checkpoints, though there are manifests of it: in ${listNames(backups)}`,
    hint: `bring ${CHECKPOINTS}${vmText(vm)}/ back from another copy of the bucket`,
  };
  const flaws = new Map(backups.map((name) => [name, "the VM's index is missing"]));
  return { vm, tips: new Map(), flaws, listing: { ...vm, disks: [] }, problems: [problem] };
}

function compareNames(a: VmRef, b: VmRef): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

async function findVms(store: ObjectStore, signal: AbortSignal): Promise<VmRef[]> {
  const namespaces = await folders(store, CHECKPOINTS, signal);
  const found = await mapBounded(namespaces, { limit: LIST_REQUESTS, signal }, async (namespace, inner) => {
    const names = await folders(store, `${CHECKPOINTS}${namespace}/`, inner);
    return names.map((name): VmRef => ({ namespace, name }));
  });
  return found.flat();
}

async function readVm(
  store: ObjectStore,
  vm: VmRef,
  { backup, told, limit, signal }: ReadVmsOptions & { readonly limit: number },
): Promise<ReadVmWithProblems> {
  const index = await loadVmIndex(store, vm, { signal });
  const known = told.get(vmText(vm))?.tips ?? new Map<string, string | null>();
  const merged = mergeTips(index, known);
  const tips = new Map([...merged].map(([name, id]) => [name, toTip(index, id)]));
  const { flaws, problems } = unlisted(index, known);
  if (backup !== undefined && !merged.has(backup) && !known.has(backup)) {
    return { vm, tips, flaws, listing: undefined, problems: [] };
  }
  const sizes = await layerSizes(store, index, { limit, signal });
  const judged = judgeDisks(index, { sizes, tips: merged, backup });
  return { vm, tips, flaws, listing: { ...vm, disks: judged.disks }, problems: [...problems, ...judged.problems] };
}

/** Backups that end with a checkpoint which the index does not hold. */
function unlisted(
  index: VmIndex,
  tips: ReadonlyMap<string, string | null>,
): { readonly flaws: ReadonlyMap<string, string>; readonly problems: readonly Problem[] } {
  const absent = [...tips].flatMap(([backup, tip]) => (tip === null || index.byId.has(tip) ? [] : [{ backup, tip }]));
  const problems = [...Map.groupBy(absent, ({ tip }) => tip)].map(
    ([tip, ends]): Problem => ({
      code: 'CHAIN_BROKEN',
      message: `VM ${vmText(index.vm)}: checkpoint ${tip} is not in the index ${index.key}, but it is the state of ${listNames(ends.map(({ backup }) => backup))}`,
      hint: 'bring the index back from another copy of the bucket, or restore a backup or checkpoint that it lists as whole',
    }),
  );
  return { flaws: new Map(absent.map(({ backup, tip }) => [backup, `${tip} is not in the VM's index`])), problems };
}

function toTip(index: VmIndex, checkpoint: string): Tip {
  const [entry] = index.byId.get(checkpoint) ?? [];
  return { checkpoint, timestamp: entry?.flaw === undefined ? entry?.timestamp : undefined };
}

/** Whether an error concerns one document, so that the others can still be read. */
export function isOneDocuments(error: unknown): error is DatamoverError {
  return error instanceof DatamoverError && ONE_DOCUMENTS.has(error.code);
}

const ONE_DOCUMENTS: ReadonlySet<string> = new Set([
  'METADATA_INVALID',
  'OBJECT_MISSING',
  'BACKUP_NOT_FOUND',
  'ACCESS_DENIED',
  'OBJECT_CHANGED',
]);

/** Bytes of every object in the folders of the index's checkpoints, by key. */
async function layerSizes(
  store: ObjectStore,
  index: VmIndex,
  options: { readonly limit: number; readonly signal: AbortSignal },
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const ids = [...new Set(soundCheckpoints(index).map(({ id }) => id))];
  await mapBounded(ids, options, async (id, signal) => {
    for await (const entry of store.list(checkpointPrefix(index.vm, id), { signal })) {
      if (entry.kind === 'object') sizes.set(entry.key, entry.size);
    }
  });
  return sizes;
}

async function folders(store: ObjectStore, prefix: string, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  for await (const { kind, key } of store.list(prefix, { signal })) {
    const name = key.slice(prefix.length, -1);
    // What is named so can be no namespace and no VM, and no key can be made of it.
    if (kind === 'prefix' && whyNoName(name) === undefined) names.push(name);
  }
  return names;
}
