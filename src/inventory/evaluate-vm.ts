// Evaluates one VM by its index: the tips of its backups, and which checkpoints of its disks can be restored.
import { backupFactsKey } from '../catalog/backup-facts.ts';
import { mergeTips } from '../catalog/health.ts';
import { checkpointPrefix } from '../catalog/keys.ts';
import { soundCheckpoints, type VmIndex, withFacts } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { readFacts } from './facts.ts';
import { type DiskListing, evaluateDisks } from './list-disks.ts';

export interface VmListing extends VmRef {
  readonly disks: readonly DiskListing[];
}

export interface Tip {
  readonly checkpoint: string;
  readonly timestamp: string | undefined;
}

export interface EvaluatedVm {
  readonly vm: VmRef;
  /** By backup: the tip. */
  readonly tips: ReadonlyMap<string, Tip>;
  /** Undefined where only the tips were wanted. */
  readonly listing: VmListing | undefined;
  readonly problems: readonly Problem[];
}

export interface EvaluateVmOptions {
  /** Only the checkpoints that it needs. */
  readonly backup: string | undefined;
  /** Concurrent requests. */
  readonly limit: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Tips and disks by an index; without options just the tips. */
export async function evaluateVm(
  store: ObjectStore,
  index: VmIndex,
  {
    ofBackups,
    options,
  }: { readonly ofBackups: ReadonlyMap<string, string | null>; readonly options: EvaluateVmOptions | undefined },
): Promise<EvaluatedVm> {
  const { vm } = index;
  const merged = mergeTips(index, ofBackups);
  const tips = new Map([...merged].map(([name, id]) => [name, toTip(index, id)]));
  if (options === undefined) return { vm, tips, listing: undefined, problems: [] };
  const { backup, limit, progress, signal } = options;
  const { sizes, archived } = await layerSizes(store, index, { limit, signal });
  const facts = await readFacts(store, vm, archived, { limit, progress, signal });
  const found = await evaluateDisks(store, withFacts(index, facts), { sizes, tips: merged, backup, limit, signal });
  for (const message of index.rebuilt?.notes ?? []) progress.report({ type: 'info', message });
  return { vm, tips, listing: { ...vm, disks: found.disks }, problems: found.problems };
}

/** The checkpoints of which a disk can be restored. */
export function usableIds(read: EvaluatedVm | undefined): string[] {
  const checkpoints = (read?.listing?.disks ?? []).flatMap((disk) => disk.checkpoints);
  return checkpoints.filter(({ state }) => state !== 'broken').map(({ id }) => id);
}

function toTip(index: VmIndex, checkpoint: string): Tip {
  const [entry] = index.byId.get(checkpoint) ?? [];
  return { checkpoint, timestamp: entry?.flaw === undefined ? entry?.timestamp : undefined };
}

/** Bytes of every object in the directories of the index's checkpoints, by key; and which of them have a vmb.json. */
async function layerSizes(
  store: ObjectStore,
  index: VmIndex,
  options: { readonly limit: number; readonly signal: AbortSignal },
): Promise<{ readonly sizes: Map<string, number>; readonly archived: readonly string[] }> {
  const sizes = new Map<string, number>();
  const ids = [...new Set(soundCheckpoints(index).map(({ id }) => id))];
  await mapBounded(ids, options, async (id, signal) => {
    for await (const entry of store.list(checkpointPrefix(index.vm, id), { signal })) {
      if (entry.kind === 'object') sizes.set(entry.key, entry.size);
    }
  });
  return { sizes, archived: ids.filter((id) => sizes.has(backupFactsKey(index.vm, id))) };
}
