// Reads what is left of a VM whose index is lost: its directories, its archived backups, and its manifests.
import { vmIndexKey, vmPrefix, vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { type FoundCheckpoint, type ListedManifest, rebuildIndex } from '../catalog/rebuild.ts';
import { parentsIn, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { commandLine } from './command-line.ts';
import { readFacts } from './facts.ts';
import { findBackups, findCheckpoints } from './find-vms.ts';
import { readListedManifests } from './vm-manifest.ts';

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
  const backups = await findBackups(store, { signal });
  const manifests = await readListedManifests(store, { vm, backups }, options);
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

/** The index with what it lacks of `missing` ids and of the parents of `cutOff` ones, as far as it can be rebuilt; as it is else. */
export async function completeIndex(
  store: ObjectStore,
  known: VmIndex,
  { missing, cutOff }: { readonly missing: readonly string[]; readonly cutOff: readonly string[] },
  options: Options,
): Promise<VmIndex> {
  if (known.rebuilt !== undefined || missing.length + cutOff.length === 0) return known;
  const lost = halfIndex(store, known.vm, { missing, cutOff });
  const rebuilt = await loadRebuilt(store, { vm: known.vm, lost, known, wanted: missing }, options);
  return rebuilt.rebuilt?.ids.length ? rebuilt : known;
}

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
  const named = new Set([...[...manifests.values()].flatMap(({ ids }) => ids), ...parentsIn(known), ...wanted]);
  return present.filter((id) => named.has(id) && !known.byId.has(id));
}

/** The loss of an index that lacks ids which other documents name, or was cut off before an incremental. */
export function halfIndex(
  store: ObjectStore,
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
    hint: `restore the index from another copy of the bucket, or print what can be rebuilt of it: ${commandLine(store, 'rebuild-index', `--vm=${vmText(vm)}`)}`,
  };
}
