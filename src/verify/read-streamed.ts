// `verify --data` without scratch: every object is read through into memory, and its tables are examined where they lie.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CheckedChain, CheckedLayer } from '../chain/check-layers.ts';
import { compareChecksums, hashesToTake } from '../chain/checksums.ts';
import { affordableTasks } from '../chain/handles.ts';
import { requireMemory } from '../memory-limits.ts';
import { runPhase } from '../progress.ts';
import { withRuntimeFolder } from '../scratch/runtime-folder.ts';
import { DEFAULT_CONCURRENCY } from '../staged/download.ts';
import { examineServed } from '../stream/examine-chain.ts';
import { Arena } from '../stream/fetch/arena.ts';
import { readThrough } from '../stream/fetch/read-through.ts';
import type { RemoteLayer } from '../stream/fetch/remote-layer.ts';
import { type ServedChain, withServedChain } from '../stream/served-chain.ts';
import { MiB } from '../units.ts';
import { type DataOptions, isCorruption, type LayerFindings, type VerifyOptions } from './options.ts';

/** Memory for parts on their way. */
const BUFFERS = 64 * MiB;

/** A layer's damage is a finding; what is none (the source, the signal) rejects. */
export async function verifyInPlace({ options, store, chain, known, onLayer }: DataOptions): Promise<void> {
  const { signal, concurrency = DEFAULT_CONCURRENCY } = options;
  const total = chain.layers.reduce((sum, { info }) => sum + info.size, 0);
  requireMemory(BUFFERS);
  const arena = new Arena(BUFFERS);
  await withRuntimeFolder(options, async (folder) => {
    const serving = { store, chain, folder, concurrency, onFetched: () => {}, signal };
    await withServedChain(serving, async (served) => {
      await runPhase(options.progress, { pvc: chain.disk.name, phase: 'download', total }, async (onBytes) => {
        let done = 0;
        for (const layer of served.layers) {
          const task = { options, served, chain, layer, arena };
          const onRead = (count: number): void => {
            done += count;
            onBytes(done, total);
          };
          onLayer(layer.index, known(layer.index) ?? (await verifyStreamedLayer(task, onRead)));
        }
      });
    });
  }).finally(() => arena.close());
}

interface LayerTask {
  readonly options: VerifyOptions;
  readonly served: ServedChain;
  readonly chain: CheckedChain;
  readonly layer: RemoteLayer;
  readonly arena: Arena;
}

async function verifyStreamedLayer(task: LayerTask, onBytes: (count: number) => void): Promise<LayerFindings> {
  const { options, served, chain, layer } = task;
  const checked: string[] = [];
  try {
    const own = chain.layers[layer.index];
    if (own === undefined) throw new RangeError(`no layer ${layer.index}`);
    const found = await hashLayer(task, own, onBytes);
    if (options.checksums) checked.push(...compareChecksums(own, found, layer));
    const outcome = await examineServed(served, layer, served.signal);
    if (outcome.state !== 'unchecked') checked.push('image');
    return { checked, outcome };
  } catch (error) {
    if (isCorruption(error)) return { checked, outcome: error };
    throw error;
  }
}

async function hashLayer(
  { options, served, layer, arena }: LayerTask,
  checked: CheckedLayer,
  onBytes: (count: number) => void,
): Promise<{ crc32: number; hashes: Map<string, string> }> {
  const algorithms = options.checksums ? hashesToTake(checked) : [];
  const hashes = algorithms.map((algorithm) => ({ algorithm, hash: createHash(algorithm) }));
  let crc = 0;
  const { partSize } = options;
  const concurrency = affordableTasks(options.concurrency ?? DEFAULT_CONCURRENCY);
  await readThrough(layer, { arena, concurrency, partSize, signal: served.signal }, (bytes) => {
    crc = crc32(bytes, crc);
    for (const { hash } of hashes) hash.update(bytes);
    onBytes(bytes.length);
  });
  return { crc32: crc, hashes: new Map(hashes.map(({ algorithm, hash }) => [algorithm, hash.digest('hex')])) };
}
