// Reads what is left of a VM whose index is lost: its directories, its archived backups, and its manifests.
import { vmIndexKey, vmPrefix, vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { type FoundCheckpoint, type ListedManifest, rebuildIndex } from '../catalog/rebuild.ts';
import { soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { readFacts } from './facts.ts';
import { findBackups, findCheckpoints } from './find-vms.ts';
import { readListedManifest } from './vm-manifest.ts';

export interface LostIndex {
  readonly vm: VmRef;
  readonly lost: Problem;
  /** As far as it can be read. */
  readonly known?: VmIndex | undefined;
  /** Ids that are needed and that `known` lacks. */
  readonly wanted?: readonly string[];
}

interface Options {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

const REQUESTS = 16;

/** Lists each directory, and reads a vmb.json for each checkpoint and one or two manifests for each backup of the bucket. */
export async function loadRebuilt(
  store: ObjectStore,
  { vm, lost, known, wanted = [] }: LostIndex,
  options: Options,
): Promise<VmIndex> {
  const { signal } = options;
  const manifests = await readManifests(store, vm, options);
  const present = await findCheckpoints(store, vm, { signal });
  const ids = known === undefined ? present : missingOf(known, { manifests, wanted, present });
  const facts = await readFacts(store, vm, ids, options);
  const listed = await mapBounded(ids, { limit: REQUESTS, signal }, async (id, inner) => {
    const files = new Map<string, number>();
    const prefix = `${vmPrefix(vm)}${id}/`;
    for await (const entry of store.list(prefix, { signal: inner })) {
      const name = entry.key.slice(prefix.length);
      if (entry.kind === 'object' && LAYER.test(name)) files.set(name, entry.size);
    }
    return [id, { files, facts: facts.get(id) }] as const;
  });
  const found = new Map<string, FoundCheckpoint>(listed.filter(([, { files }]) => files.size > 0));
  return rebuildIndex({ vm, lost, known, found, manifests });
}

const LAYER = /^[^./][^/]*\.qcow2$/i;

/** Those that a manifest names, that a checkpoint builds on, or that are asked for, and that the index does not have. */
function missingOf(
  known: VmIndex,
  {
    manifests,
    wanted,
    present,
  }: {
    readonly manifests: ReadonlyMap<string, ListedManifest>;
    readonly wanted: readonly string[];
    readonly present: readonly string[];
  },
): string[] {
  const parents = soundCheckpoints(known).flatMap(({ parent }) => (parent === undefined ? [] : [parent]));
  const named = new Set([...[...manifests.values()].flatMap(({ ids }) => ids), ...parents, ...wanted]);
  return present.filter((id) => named.has(id) && !known.byId.has(id));
}

/** Every manifest of the VM, by key; one that cannot be read is noted, since any other may prove the order as well. */
async function readManifests(
  store: ObjectStore,
  vm: VmRef,
  { progress, signal }: Options,
): Promise<Map<string, ListedManifest>> {
  const backups = await findBackups(store, { signal });
  const found = await mapBounded(backups, { limit: REQUESTS, signal }, async (backup, inner) => {
    const onUnreadable = (message: string): void =>
      progress.report({ type: 'info', message: `ignored a manifest that cannot be read: ${message}` });
    const manifest = await readListedManifest(store, { vm, backup }, { onUnreadable, signal: inner });
    return manifest === undefined ? undefined : ([manifest.key, { ...manifest, backup }] as const);
  });
  return new Map(found.filter((one) => one !== undefined));
}

/** The loss of an index that lacks ids which other documents name, or was cut off before an incremental. */
export function halfIndex(
  vm: VmRef,
  { missing, cutOff = [] }: { readonly missing: readonly string[]; readonly cutOff?: readonly string[] },
): Problem {
  const found = [
    ...(missing.length === 0 ? [] : [`checkpoints that other documents name not found: ${listNames(missing)}`]),
    ...(cutOff.length === 0 ? [] : [`incremental checkpoints without a parent: ${listNames(cutOff)}`]),
  ];
  return {
    code: 'CHAIN_BROKEN',
    message: `${vmIndexKey(vm)}: incomplete index: ${found.join('; ')}`,
    hint: `restore the index from another copy of the bucket, or print what can be rebuilt of it: kubevirt-datamover rebuild-index --vm ${vmText(vm)}`,
  };
}
