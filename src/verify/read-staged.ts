// `verify --data`: every object of a chain read through, one layer at a time: in scratch, or where it lies when there is none.
import { rm } from 'node:fs/promises';
import type { CheckedChain, CheckedLayer } from '../chain/check-layers.ts';
import type { Examined } from '../chain/examine.ts';
import { runPhase } from '../progress.ts';
import { chooseRoot } from '../scratch/runtime-folder.ts';
import { openWorkFolder, scratchError, type WorkFolder } from '../scratch/work-folder.ts';
import { checkLayerChecksums } from '../staged/checksums.ts';
import { DEFAULT_CONCURRENCY, DEFAULT_PART_SIZE, downloadChain, type StagedLayer } from '../staged/download.ts';
import { examineFileUnrepaired } from '../staged/examine-file.ts';
import type { ObjectStore } from '../store/store.ts';
import { type DataOptions, isCorruption, type LayerFindings, type VerifyOptions } from './options.ts';
import { verifyInPlace } from './read-streamed.ts';
import { verifyId } from './verify-paths.ts';

/** A layer's damage is a finding; what is none (the source, scratch, the signal) rejects. */
export async function verifyData({ options, store, chain, known, onLayer }: DataOptions): Promise<void> {
  if (options.scratch === undefined) {
    await verifyInPlace({ options, store, chain, known, onLayer });
    return;
  }
  const root = await chooseRoot({ ...options, strategy: 'staged' });
  const folder = await openWorkFolder({ root, planId: verifyId(options.plan), fresh: true });
  const total = chain.layers.reduce((sum, { info }) => sum + info.size, 0);
  try {
    await runPhase(options.progress, { pvc: chain.disk.name, phase: 'download', total }, async (onBytes) => {
      let before = 0;
      for (const [index, layer] of chain.layers.entries()) {
        const task = { options, store, folder, chain, layer };
        const onDone = (done: number): void => onBytes(before + done, total);
        onLayer(index, known(index) ?? (await verifyStagedLayer(task, onDone)));
        before += layer.info.size;
      }
    });
  } finally {
    await folder.close({ keep: false });
  }
}

interface LayerTask {
  readonly options: VerifyOptions;
  readonly store: ObjectStore;
  readonly folder: WorkFolder;
  readonly chain: CheckedChain;
  readonly layer: CheckedLayer;
}

async function verifyStagedLayer(task: LayerTask, onBytes: (done: number) => void): Promise<LayerFindings> {
  const path = await task.folder.diskFolder(0);
  const checked: string[] = [];
  try {
    const staged = await stageLayer(task, path, onBytes);
    return { checked, outcome: await checkStagedLayer(task, staged, checked) };
  } catch (error) {
    if (isCorruption(error)) return { checked, outcome: error };
    throw scratchError(error, path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

async function stageLayer(
  { options, store, folder, chain, layer }: LayerTask,
  path: string,
  onBytes: (done: number) => void,
): Promise<StagedLayer> {
  const [staged] = await downloadChain({
    store,
    chain: { ...chain, layers: [layer] },
    folder: path,
    journal: folder.journal,
    concurrency: options.concurrency ?? DEFAULT_CONCURRENCY,
    partSize: options.partSize ?? DEFAULT_PART_SIZE,
    onBytes,
    onFetched: () => {},
    signal: options.signal,
  });
  if (staged === undefined) throw new TypeError('one layer was asked for, none came');
  return staged;
}

async function checkStagedLayer(
  { options: { checksums, signal }, store, layer }: LayerTask,
  staged: StagedLayer,
  checked: string[],
): Promise<Examined> {
  const where = store.describe(layer.info.key);
  if (checksums) checked.push(...(await checkLayerChecksums(staged, { where, onBytes: () => {}, signal })));
  const outcome = await examineFileUnrepaired(staged, { where, signal });
  if (outcome.state !== 'unchecked') checked.push('image');
  return outcome;
}
