// Explains a layer that is missing or has the wrong size: which backups are affected, and which can still be restored.
import { diskStates, disksOf, formatLoss, lossOf } from '../catalog/health.ts';
import { checkpointPrefix, parseCheckpointPlace } from '../catalog/keys.ts';
import { type CatalogFile, soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { flawBySizes } from './list-disks.ts';
import { loadVmIndex } from './vm-backup.ts';
import { loadTips } from './vm-manifest.ts';

export interface FailedLayer {
  readonly object: string;
  readonly problems: readonly Problem[];
}

/**
 * The problems of one disk's layers; where layers are missing or have the wrong size, the hint of the first of them also names
 * the backups that are affected, and those that can still be restored.
 */
export async function withLoss(
  store: ObjectStore,
  failed: readonly FailedLayer[],
  { signal }: { readonly signal: AbortSignal },
): Promise<Problem[]> {
  const problems = failed.flatMap((layer) => layer.problems);
  const lost = failed.find((layer) => layer.problems.some(({ code }) => LOSSES.has(code)));
  const loss = lost === undefined ? undefined : await explainLostLayer(store, lost.object, { signal });
  if (lost === undefined || loss === undefined) return problems;
  return problems.map((problem) =>
    lost.problems.includes(problem) && LOSSES.has(problem.code)
      ? { ...problem, hint: problem.hint === '' ? loss : `${loss}; ${problem.hint}` }
      : problem,
  );
}

const LOSSES: ReadonlySet<string> = new Set(['OBJECT_MISSING', 'SIZE_MISMATCH']);

/**
 * The backups of a disk that are affected by the loss of layer `object`, formatted for a hint; undefined when the key is not in
 * the operator's layout or the VM's index does not list it. A failure here is not reported: the layer's own error is.
 */
async function explainLostLayer(
  store: ObjectStore,
  object: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<string | undefined> {
  const place = parseCheckpointPlace(object);
  if (place === undefined) return undefined;
  try {
    const index = await loadVmIndex(store, place.vm, { signal });
    const disk = diskOfObject(index, object);
    if (disk === undefined) return undefined;
    const sizes = await sizesOf(store, index, { disk, signal });
    const { tips } = await loadTips(store, index, { signal });
    const loss = lossOf(place.checkpoint, diskStates(index, disk, flawBySizes(sizes)), tips);
    return formatLoss(disk, loss);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DatamoverError) return undefined;
    throw error;
  }
}

function diskOfObject(index: VmIndex, object: string): string | undefined {
  const holds = (file: CatalogFile): boolean => file.object === object;
  return disksOf(index).find((disk) =>
    soundCheckpoints(index).some(({ files }) => files.some((file) => file.disk === disk && holds(file))),
  );
}

async function sizesOf(
  store: ObjectStore,
  index: VmIndex,
  { disk, signal }: { readonly disk: string; readonly signal: AbortSignal },
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const holding = soundCheckpoints(index).filter(({ files }) => files.some((file) => file.disk === disk));
  await mapBounded(holding, { limit: REQUESTS, signal }, async ({ id }, inner) => {
    for await (const entry of store.list(checkpointPrefix(index.vm, id), { signal: inner })) {
      if (entry.kind === 'object') sizes.set(entry.key, entry.size);
    }
  });
  return sizes;
}

const REQUESTS = 16;
