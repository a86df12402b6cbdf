// The strategy without scratch: the layers stay at the source, are examined there, and the bytes that the disk shows are
// carried from there to the target; or qemu reads them through a cache where the map cannot place them.

import type { CheckedChain } from '../chain/check-layers.ts';
import { type Examined, imageWarning } from '../chain/examine.ts';
import { affordableTasks } from '../chain/handles.ts';
import { fetchedCounter, type PvcStats } from '../chain/tally.ts';
import type { QemuDisk, VirtualDisk } from '../chain/virtual-disk.ts';
import { type Progress, runPhase } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { writesAtATime } from '../thread-pool.ts';
import { MiB } from '../units.ts';
import { canCarry } from './copy/can-carry.ts';
import { carry } from './copy/carry.ts';
import { examineChain } from './examine-chain.ts';
import { Arena } from './fetch/arena.ts';
import { BlockCache } from './fetch/block-cache.ts';
import { type ServedChain, withServedChain } from './served-chain.ts';

/** What the strategy needs of a run. */
export interface StreamedRun {
  readonly options: {
    /** Bytes of memory for what is fetched; undefined for the default. */
    readonly window?: number;
    /** Range requests at a time; undefined for the default. */
    readonly concurrency?: number;
    readonly env: Readonly<NodeJS.ProcessEnv>;
    readonly progress: Progress;
  };
  readonly store: ObjectStore;
  readonly signal: AbortSignal;
}

export interface StreamOptions {
  readonly chain: CheckedChain;
  /** A small folder of ours, for the socket. */
  readonly folder: string;
  readonly tally: PvcStats;
  /** Bytes of the target's logical block. */
  readonly sectorSize: number;
  /** Whether qemu writes the target, which is no raw bytes. */
  readonly throughQemu?: boolean;
}

/** With it the whole process stays below 300 MiB; it holds 48 pieces of 2 MiB, of which 32 are on their way. */
export const DEFAULT_WINDOW = 96 * MiB;

/**
 * Twice as many as for parts of 16 MiB: where layers hide each other's data, most pieces are smaller than 1 MiB, and the latency of
 * their requests decides. With 20 ms before each answer, 844 MiB took 2.0 s with 32 requests at a time and 3.1 s with 16; from
 * loopback there was no difference.
 */
export const STREAM_CONCURRENCY = 32;

/** Examines the chain where it lies and gives `work` the disk. No byte of a layer is put into any file. */
export async function withStreamedDisk<T>(
  run: StreamedRun,
  { chain, folder, tally, sectorSize, throughQemu = false }: StreamOptions,
  work: (disk: VirtualDisk) => Promise<T>,
): Promise<T> {
  const { options, store, signal } = run;
  const { window = DEFAULT_WINDOW, concurrency = STREAM_CONCURRENCY } = options;
  const onFetched = fetchedCounter(options.progress, { pvc: chain.disk.name, tally });
  const size = chain.virtualSize;
  return await withServedChain({ store, chain, folder, concurrency, onFetched, signal }, async (served) => {
    const examined = await examineStreamed(run, served, { chain, tally });
    if (throughQemu || !canCarry(served.layers, examined, { sectorSize })) {
      tally.via = 'qemu';
      return await withCachedGuest(served, { size, window }, work);
    }
    const writes = writesAtATime(options.env);
    return await work({
      kind: 'carried',
      size,
      carry: (to) => carry({ ...served, ...to, size, window, writes, concurrency: affordableTasks(concurrency) }),
    });
  });
}

async function examineStreamed(
  run: StreamedRun,
  served: ServedChain,
  { chain, tally }: Pick<StreamOptions, 'chain' | 'tally'>,
): Promise<Examined[]> {
  const pvc = chain.disk.name;
  const { seconds } = tally;
  const outcomes = await runPhase(run.options.progress, { pvc, phase: 'check-image', seconds }, async () => {
    return await examineChain(served);
  });
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.state !== 'unchecked') tally.checked[index]?.push('image');
    const message = imageWarning(outcome, served.layers[index]?.where ?? '');
    if (message === undefined) continue;
    tally.warnings.push(message);
    run.options.progress.report({ type: 'warning', pvc, message });
  }
  return outcomes;
}

/** Gives `work` the disk as qemu reads it, through blocks that are fetched ahead. */
async function withCachedGuest<T>(
  served: ServedChain,
  { size, window }: { readonly size: number; readonly window: number },
  work: (guest: QemuDisk) => Promise<T>,
): Promise<T> {
  const ending = new AbortController();
  const arena = new Arena(window);
  const { node, slots, signal } = served;
  const cache = new BlockCache({ arena, slots, signal: AbortSignal.any([signal, ending.signal]) });
  const reading: QemuDisk['reading'] = async (_range, inner) => {
    try {
      return await served.withReader(cache, () => inner(signal));
    } catch (error) {
      // A read that the source refused is what made qemu fail.
      signal.throwIfAborted();
      throw error;
    }
  };
  try {
    return await work({ kind: 'qemu', node, chain: node, size, reading });
  } finally {
    ending.abort();
    await cache.ended();
    arena.close();
  }
}
