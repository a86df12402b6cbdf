// The VMs of a bucket: their indexes, and per disk which checkpoints can be restored.
import { type CheckpointState, diskStates, disksOf, type Flaw, lossOf, sayLoss, tipsOf } from '../catalog/health.ts';
import { CHECKPOINTS, checkpointPrefix, type VmRef, vmText } from '../catalog/keys.ts';
import { type CatalogFile, type Checkpoint, soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { whyNoName } from '../object-key.ts';
import type { ObjectStore } from '../store/store.ts';
import { loadVmIndex } from './load-catalog.ts';

export interface VmListing extends VmRef {
  readonly disks: readonly DiskListing[];
}

export interface DiskListing {
  readonly name: string;
  /** In the index's order: newest last. */
  readonly checkpoints: readonly CheckpointListing[];
}

export interface CheckpointListing {
  readonly id: string;
  readonly type: 'full' | 'incremental';
  readonly parent?: string;
  readonly timestamp: string | null;
  /** Bytes of this layer: as listed, else as declared; null when neither is known. */
  readonly size: number | null;
  /** Whether this state of the disk can be restored. */
  readonly state: 'whole' | 'broken';
  readonly problem?: string;
}

/** What is kept of a VM once its index, which may be large, was judged. */
export interface ReadVm {
  readonly vm: VmRef;
  /** By backup that its index references: the tip. */
  readonly tips: ReadonlyMap<string, Tip>;
  /** Undefined for a VM that is not wanted. */
  readonly listing: VmListing | undefined;
}

export interface Tip {
  readonly checkpoint: string;
  readonly timestamp: string | undefined;
}

export interface ReadVmsOptions {
  /** Just this one, which must be there. */
  readonly vm: VmRef | undefined;
  /** Just the checkpoints that it needs. */
  readonly backup: string | undefined;
  /** Whether to judge a VM, knowing the backups that its index references. */
  readonly wanted: (vm: VmRef, tips: ReadonlyMap<string, unknown>) => boolean;
  readonly problems: Problem[];
  readonly signal: AbortSignal;
}

/** Small requests at a time. */
export const LIST_REQUESTS = 16;

/**
 * Reads every VM's index, looks its layers up and judges its disks; by namespace and name. An index that cannot be read
 * is a problem among others, but BACKUP_NOT_FOUND is thrown when just one VM was asked for.
 */
export async function readVms(store: ObjectStore, options: ReadVmsOptions): Promise<ReadVm[]> {
  const { vm, signal, problems } = options;
  const refs = vm === undefined ? await findVms(store, signal) : [vm];
  // One VM's checkpoints may be many; many VMs are enough to be busy with.
  const within = refs.length > LIST_REQUESTS ? 1 : LIST_REQUESTS;
  const read = await mapBounded(refs, { limit: LIST_REQUESTS, signal }, async (ref, inner) => {
    try {
      return await readVm(store, ref, { ...options, limit: within, signal: inner });
    } catch (error) {
      const absent = vm !== undefined && error instanceof DatamoverError && error.code === 'BACKUP_NOT_FOUND';
      if (absent || !isOneDocuments(error)) throw error;
      const tips = new Map<string, Tip>();
      const listing = options.wanted(ref, tips) ? { ...ref, disks: [] } : undefined;
      return { vm: ref, tips, listing, problems: error.problems };
    }
  });
  for (const one of read) problems.push(...one.problems);
  return read;
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
  { backup, wanted, limit, signal }: ReadVmsOptions & { readonly limit: number },
): Promise<ReadVm & { readonly problems: readonly Problem[] }> {
  const index = await loadVmIndex(store, vm, { signal });
  const tips = new Map([...tipsOf(index)].map(([name, id]) => [name, toTip(index, id)]));
  if (!wanted(vm, tips)) return { vm, tips, listing: undefined, problems: [] };
  const sizes = await layerSizes(store, index, { limit, signal });
  return { vm, tips, ...judgeVm(index, sizes, backup) };
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
  'CATALOG_INVALID',
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

/** Why a layer cannot be used, by what the listing says of it. */
export function flawBySizes(sizes: ReadonlyMap<string, number>): (file: CatalogFile) => Flaw | undefined {
  return ({ object, size }) => {
    const listed = sizes.get(object);
    if (listed === undefined) return { code: 'OBJECT_MISSING', problem: `its layer ${object} is missing` };
    if (size === undefined || size === listed) return undefined;
    return { code: 'SIZE_MISMATCH', problem: `its layer ${object} is ${listed} bytes, declared are ${size}` };
  };
}

interface JudgedVm {
  readonly listing: VmListing;
  readonly problems: readonly Problem[];
}

function judgeVm(index: VmIndex, sizes: ReadonlyMap<string, number>, backup: string | undefined): JudgedVm {
  const tips = tipsOf(index);
  const problems: Problem[] = [];
  const roots = new Set<string>();
  const disks: DiskListing[] = [];
  for (const disk of disksOf(index)) {
    const states = diskStates(index, disk, flawBySizes(sizes));
    const checkpoints = soundCheckpoints(index)
      .filter((checkpoint) => backup === undefined || checkpoint.referencedBy.includes(backup))
      .flatMap((checkpoint) => toListing(checkpoint, disk, { sizes, states }));
    if (checkpoints.length === 0) continue;
    disks.push({ name: disk, checkpoints });
    const shown = new Set(checkpoints.map(({ id }) => id));
    for (const [root, state] of rootsOf(states, shown)) {
      roots.add(root);
      const message = `VM ${vmText(index.vm)}, disk ${disk}: checkpoint ${root}: ${state.problem}`;
      problems.push({ code: state.code, message, hint: sayLoss(disk, lossOf(root, states, tips)) });
    }
  }
  for (const { id, flaw } of index.entries) {
    if (flaw === undefined || (id !== undefined && roots.has(id))) continue;
    problems.push({
      code: 'CATALOG_INVALID',
      message: `${index.key}: ${flaw}`,
      hint: 'no other checkpoint builds on it',
    });
  }
  return { listing: { ...index.vm, disks }, problems };
}

type Broken = Extract<CheckpointState, { readonly state: 'broken' }>;

/** By checkpoint at fault: the state of those that it breaks. */
function rootsOf(states: ReadonlyMap<string, CheckpointState>, shown: ReadonlySet<string>): Map<string, Broken> {
  const roots = new Map<string, Broken>();
  for (const [id, state] of states) {
    if (state.state === 'broken' && shown.has(id) && !roots.has(state.root)) roots.set(state.root, state);
  }
  return roots;
}

function toListing(
  { id, type, parent, timestamp, files }: Checkpoint,
  disk: string,
  { sizes, states }: { sizes: ReadonlyMap<string, number>; states: ReadonlyMap<string, CheckpointState> },
): CheckpointListing[] {
  const file = files.find((candidate) => candidate.disk === disk);
  if (file === undefined) return [];
  const state = states.get(id);
  return [
    {
      id,
      type,
      ...(parent === undefined ? {} : { parent }),
      timestamp: timestamp ?? null,
      size: sizes.get(file.object) ?? file.size ?? null,
      ...(state?.state === 'broken' ? { state: 'broken', problem: sayState(id, state) } : { state: 'whole' }),
    },
  ];
}

function sayState(id: string, { root, problem }: Broken): string {
  return id === root ? problem : `it builds on ${root}: ${problem}`;
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
