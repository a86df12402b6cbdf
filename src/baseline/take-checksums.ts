// `plan --checksums`: the SHA-256 of each layer, the baseline that the format lacks. Every object is read once, into memory.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CheckedChain, CheckedLayer } from '../chain/check-layers.ts';
import { compareChecksums } from '../chain/checksums.ts';
import { affordableTasks } from '../chain/handles.ts';
import { mapBounded } from '../concurrency.ts';
import { toDatamoverError } from '../errors.ts';
import { requireMemory } from '../memory-limits.ts';
import { type Progress, runPhase } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { Arena } from '../stream/fetch/arena.ts';
import { readThrough } from '../stream/fetch/read-through.ts';
import { RemoteLayer } from '../stream/fetch/remote-layer.ts';
import { MiB } from '../units.ts';
import type { KnownChecksums } from './checksum-file.ts';

export interface TakeOptions {
  readonly store: ObjectStore;
  readonly chains: readonly CheckedChain[];
  /** What an earlier run found out; what this one does is added, layer by layer. */
  readonly known: KnownChecksums;
  /** Ranged reads at a time; 16 by default. */
  readonly concurrency?: number | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Layers at a time, so that the end of one does not wait for the start of the next. */
const LAYERS = 4;
const DEFAULT_CONCURRENCY = 16;
/** Memory for the parts on their way, of all layers. */
const BUFFERS = 64 * MiB;

/**
 * Lower-case hex by object key.
 * @throws DatamoverError as `ObjectStore.read`; CHECKSUM_MISMATCH when a checksum that the store keeps differs; OUTPUT_FAILED when
 * what was found out cannot be recorded; the signal's reason. What was recorded by then is known to the next run.
 */
export async function takeChecksums(options: TakeOptions): Promise<ReadonlyMap<string, string>> {
  const { chains, progress } = options;
  requireMemory(BUFFERS);
  const found = new Map<string, string>();
  for (const chain of chains) {
    const pvc = chain.disk.name;
    const total = chain.layers.reduce((sum, { info }) => sum + info.size, 0);
    await runPhase(progress, { pvc, phase: 'checksum', total }, async (onBytes) => {
      let done = 0;
      const onRead = (count: number): void => {
        done += count;
        onBytes(done, total);
      };
      const limits = { limit: affordableTasks(LAYERS), signal: options.signal };
      const sums = await mapBounded(chain.layers, limits, async (layer, signal) => {
        return [layer.info.key, await checksumOf(layer, { ...options, onRead, signal })] as const;
      });
      for (const [key, sha256] of sums) found.set(key, sha256);
    }).catch((error: unknown) => {
      throw toDatamoverError(error, options.signal).about(pvc);
    });
  }
  return found;
}

async function checksumOf(
  checked: CheckedLayer,
  { store, known, concurrency = DEFAULT_CONCURRENCY, onRead, signal }: TakeOptions & { onRead(count: number): void },
): Promise<string> {
  const { info } = checked;
  const earlier = known.find(info);
  if (earlier !== undefined) {
    onRead(info.size);
    return earlier;
  }
  const layer = new RemoteLayer({ store, checked, index: 0, onFetched: () => {} });
  const arena = new Arena(BUFFERS / LAYERS);
  const share = Math.max(1, Math.floor(affordableTasks(concurrency) / LAYERS));
  const hash = createHash('sha256');
  let crc = 0;
  try {
    await readThrough(layer, { arena, concurrency: share, partSize: undefined, signal }, (bytes) => {
      hash.update(bytes);
      crc = crc32(bytes, crc);
      onRead(bytes.length);
    });
  } finally {
    arena.close();
  }
  const sha256 = hash.digest('hex');
  compareChecksums(checked, { crc32: crc, hashes: new Map([['sha256', sha256]]) }, layer);
  await known.add(info, sha256);
  return sha256;
}
