// `verify --data` without scratch: every object is read through into memory, and its tables are examined where they lie.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CheckedChain, CheckedLayer } from '../chain/check-layers.ts';
import { compareChecksums, hashesToTake } from '../chain/checksums.ts';
import type { Examined } from '../chain/examine.ts';
import { DatamoverError } from '../errors.ts';
import { DEFAULT_CONCURRENCY } from '../inventory/open-source.ts';
import { runPhase } from '../restore/run.ts';
import { withRuntimeFolder } from '../scratch/runtime-folder.ts';
import type { ObjectStore } from '../store/store.ts';
import { examineServed } from '../stream/examine-chain.ts';
import { Arena } from '../stream/fetch/arena.ts';
import type { RemoteLayer } from '../stream/fetch/remote-layer.ts';
import { type ServedChain, withServedChain } from '../stream/served-chain.ts';
import { MiB } from '../units.ts';
import { readThrough } from './read-through.ts';
import type { VerifyOptions } from './verify.ts';

export interface LayerFindings {
  /** What was proven, as the result lists it. */
  readonly checked: readonly string[];
  /** `unchecked`: its dirty bit is set, and it is not repaired to be checked. */
  readonly outcome: Examined | DatamoverError;
}

export interface DataOptions {
  readonly options: VerifyOptions;
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
  readonly onLayer: (index: number, findings: LayerFindings) => void;
}

/** Memory for parts on their way. */
const BUFFERS = 64 * MiB;

/** A layer's damage is a finding; what is none (the source, the signal) rejects. */
export async function verifyInPlace({ options, store, chain, onLayer }: DataOptions): Promise<void> {
  const { signal, concurrency = DEFAULT_CONCURRENCY } = options;
  const total = chain.layers.reduce((sum, { info }) => sum + info.size, 0);
  const arena = new Arena(BUFFERS);
  await withRuntimeFolder(options, async (folder) => {
    const serving = { store, chain, folder, concurrency, onFetched: () => {}, signal };
    await withServedChain(serving, async (served) => {
      await runPhase({ options }, { pvc: chain.disk.name, phase: 'download', total }, async (onBytes) => {
        let done = 0;
        for (const layer of served.layers) {
          const findings = await verifyLayer({ options, served, chain, layer, arena }, (count) => {
            done += count;
            onBytes(done, total);
          });
          onLayer(layer.index, findings);
        }
      });
    });
  }).finally(() => arena.close());
}

/** What a damaged object is refused with; every other error is no finding about it. */
export function isDamage(error: unknown): error is DatamoverError {
  return error instanceof DatamoverError && DAMAGE.has(error.code);
}

const DAMAGE: ReadonlySet<string> = new Set(['IMAGE_CORRUPT', 'IMAGE_UNSAFE', 'CHECKSUM_MISMATCH', 'SIZE_MISMATCH']);

interface LayerTask {
  readonly options: VerifyOptions;
  readonly served: ServedChain;
  readonly chain: CheckedChain;
  readonly layer: RemoteLayer;
  readonly arena: Arena;
}

async function verifyLayer(task: LayerTask, onBytes: (count: number) => void): Promise<LayerFindings> {
  const { options, served, chain, layer } = task;
  const checked: string[] = [];
  try {
    const own = chain.layers[layer.index];
    if (own === undefined) throw new RangeError(`no layer ${layer.index}`);
    const found = await hashLayer(task, own, onBytes);
    if (options.checksums) checked.push(...compareChecksums(own, found, layer));
    const outcome = await examineServed(served, layer, served.signal);
    if (outcome !== 'unchecked') checked.push('image');
    return { checked, outcome };
  } catch (error) {
    if (isDamage(error)) return { checked, outcome: error };
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
  const { concurrency = DEFAULT_CONCURRENCY, partSize } = options;
  await readThrough(layer, { arena, concurrency, partSize, signal: served.signal }, (bytes) => {
    crc = crc32(bytes, crc);
    for (const { hash } of hashes) hash.update(bytes);
    onBytes(bytes.length);
  });
  return { crc32: crc, hashes: new Map(hashes.map(({ algorithm, hash }) => [algorithm, hash.digest('hex')])) };
}
