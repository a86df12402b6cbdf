// The strategy without scratch: the layers stay at the source, are examined there, and are shown to qemu as one disk through
// a window that is filled in the order in which it will be read.
import type { CheckedChain } from '../chain/check-layers.ts';
import { imageWarning } from '../chain/examine.ts';
import { fetchedCounter, type PvcStats } from '../chain/tally.ts';
import type { GuestRange, VirtualDisk } from '../chain/virtual-disk.ts';
import { type Progress, runPhase } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { MiB } from '../units.ts';
import { examineChain } from './examine-chain.ts';
import { Arena } from './fetch/arena.ts';
import { type ServedChain, withServedChain } from './served-chain.ts';
import { Window } from './window/window.ts';

/** What the strategy needs of a run. */
export interface StreamedRun {
  readonly options: {
    /** Bytes of the read-ahead buffer; undefined for the default. */
    readonly window?: number;
    /** Range requests at a time; undefined for the default. */
    readonly concurrency?: number;
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
}

/** With it the whole process stays below 300 MiB; it holds 24 pieces of 4 MiB, of which 16 are on their way. */
export const DEFAULT_WINDOW = 96 * MiB;

/** Pieces of 4 MiB are a quarter of the parts that are downloaded to scratch, so twice as many at a time. */
export const STREAM_CONCURRENCY = 16;

/** Reads of so little need no forecast: one costs an opening of the whole chain. */
const WORTH_FORESEEING = 4 * MiB;

/** Examines the chain where it lies and gives `work` the disk. No byte of a layer is put into any file. */
export async function withStreamedGuest<T>(
  run: StreamedRun,
  { chain, folder, tally }: StreamOptions,
  work: (guest: VirtualDisk) => Promise<T>,
): Promise<T> {
  const { options, store, signal } = run;
  const arena = new Arena(options.window ?? DEFAULT_WINDOW);
  const onFetched = fetchedCounter(options.progress, { pvc: chain.disk.name, tally });
  const concurrency = options.concurrency ?? STREAM_CONCURRENCY;
  try {
    return await withServedChain({ store, chain, folder, concurrency, onFetched, signal }, async (served) => {
      await examineStreamed(run, served, { chain, tally });
      return await work({
        node: served.node,
        chain: served.node,
        size: chain.virtualSize,
        reading: (range, inner) => readThroughWindow(served, arena, range, inner),
      });
    });
  } finally {
    arena.close();
  }
}

async function examineStreamed(
  run: StreamedRun,
  served: ServedChain,
  { chain, tally }: Pick<StreamOptions, 'chain' | 'tally'>,
): Promise<void> {
  const pvc = chain.disk.name;
  const { seconds } = tally;
  const outcomes = await runPhase(run.options.progress, { pvc, phase: 'check-image', seconds }, async () => {
    return await examineChain(served);
  });
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome !== 'unchecked') tally.checked[index]?.push('image');
    const message = imageWarning(outcome, served.layers[index]?.where ?? '');
    if (message === undefined) continue;
    tally.warnings.push(message);
    run.options.progress.report({ type: 'warning', pvc, message });
  }
}

async function readThroughWindow<T>(
  served: ServedChain,
  arena: Arena,
  range: GuestRange,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, fail } = served;
  try {
    if (range.length < WORTH_FORESEEING) return await work(signal);
    const window = new Window({ ...served, range, arena, onError: fail });
    try {
      await window.primed();
      const result = await served.withReader(window, () => work(signal));
      await window.settle();
      signal.throwIfAborted();
      return result;
    } finally {
      await window.end();
    }
  } catch (error) {
    // A read that the source refused is what made qemu fail.
    signal.throwIfAborted();
    throw error;
  }
}
