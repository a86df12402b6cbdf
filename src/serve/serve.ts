// `serve`: the restored disk as a read-only NBD export, straight from the source; no target is looked at.
import { type SourceAnswer, withSourceAnswer } from '../chain/ask-source.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import { imageWarning } from '../chain/examine.ts';
import { checkOpenFiles } from '../chain/handles.ts';
import type { Problem } from '../errors.ts';
import { checkMemory } from '../memory-limits.ts';
import type { Paths } from '../paths/paths.ts';
import type { Plan } from '../plan/plan.ts';
import { collect, throwProblems } from '../problems.ts';
import { type Progress, runPhase, secondsSince } from '../progress.ts';
import { checkQemu } from '../qemu/check-qemu.ts';
import { checkListen, type Listen, withQemuNbd } from '../qemu/nbd.ts';
import { withRuntimeFolder } from '../scratch/runtime-folder.ts';
import type { ObjectStore } from '../store/store.ts';
import { examineChain } from '../stream/examine-chain.ts';
import { Arena } from '../stream/fetch/arena.ts';
import { BlockCache } from '../stream/fetch/block-cache.ts';
import { type ServedChain, withServedChain } from '../stream/served-chain.ts';
import { DEFAULT_WINDOW, STREAM_CONCURRENCY } from '../stream/stream.ts';
import { keepYoungGenerationSmall } from '../stream/young-generation.ts';
import { checkServePaths } from './serve-paths.ts';

export interface ServeOptions {
  readonly plan: Plan;
  /** Directory for internal sockets when no runtime directory can be used. */
  readonly scratch?: string;
  /** Range requests at a time; undefined for the default. */
  readonly concurrency?: number;
  /** Bytes of the read-ahead buffer; undefined for the default. */
  readonly window?: number;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** Where every path that is read or written is recorded. */
  readonly paths: Paths;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** The PVC of the plan; undefined when that has just one. */
  readonly pvc?: string;
  /** Undefined when the command line names none, which is among the problems then. */
  readonly listen: Listen | undefined;
  /** What is wrong with the command line and the plan already: reported with what is found, and nothing is served. */
  readonly problems?: readonly Problem[];
  /** Called when the export answers. */
  readonly onReady: (served: Served) => void;
}

export interface Served {
  readonly pvc: string;
  readonly uri: string;
  /** Bytes of the disk. */
  readonly virtualSize: number;
  readonly layers: number;
}

/**
 * Serves until `signal` is aborted, which is how it is ended: it resolves then, with everything closed, to what was served
 * (undefined when it had not come so far). Rejects with what is
 * wrong with the chain, with LISTEN_FAILED, or when qemu-nbd ends by itself. A read that the source refuses is an I/O error
 * for its reader alone, and a warning.
 */
export async function serve(options: ServeOptions): Promise<Served | undefined> {
  const { signal, onReady } = options;
  keepYoungGenerationSmall();
  options.progress.report({ type: 'phase-started', phase: 'preflight' });
  const startedAt = performance.now();
  let served: Served | undefined;
  const noteReady = (ready: Served): void => {
    served = ready;
    onReady(ready);
  };
  try {
    const { pvcs, problems } = choosePvc(options);
    // It reads no complete object, which the checksums of the store are of.
    return await withSourceAnswer({ ...options, pvcs, storeChecksums: false }, async (answer) => {
      const checked = await checkServable(answer, { ...options, problems, startedAt });
      return await serveFrom(checked, { ...options, onReady: noteReady });
    });
  } catch (error) {
    if (signal.aborted) return served;
    throw error;
  }
}

async function serveFrom({ store, chain, listen }: Servable, options: ServeOptions): Promise<never> {
  const { concurrency = STREAM_CONCURRENCY, window = DEFAULT_WINDOW, signal, onReady } = options;
  const arena = new Arena(window);
  const warn = warnOf(options, chain);
  // Before anybody reads, what the source refuses is the end: its error, not what qemu made of it.
  let ready = false;
  const onError = (error: unknown, fail: (error: unknown) => void): void => (ready ? warn : fail)(error);
  return await withRuntimeFolder(options, async (folder) => {
    const serving = { store, chain, folder, concurrency, onFetched: () => {}, onError, signal };
    return await withServedChain(serving, async (served) => {
      await warnAboutLayers(options, chain, served);
      const cache = new BlockCache({ arena, slots: served.slots, signal: served.signal });
      try {
        return await served.withReader(cache, () =>
          withQemuNbd({ source: served.node, listen, signal }, async (uri, died) => {
            const { disk, virtualSize, layers } = chain;
            ready = true;
            onReady({ pvc: disk.name, uri, virtualSize, layers: layers.length });
            await aborted(died);
            throw died.reason;
          }),
        );
      } finally {
        served.stop();
        await cache.ended();
      }
    });
  }).finally(() => arena.close());
}

interface Servable {
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
  readonly listen: Listen;
}

/** Rejects with one DatamoverError for all that keeps the disk from being served. */
async function checkServable(
  { store, chains, problems: ofSource }: SourceAnswer,
  options: ServeOptions & { readonly problems: readonly Problem[]; readonly startedAt: number },
): Promise<Servable> {
  const { plan, listen, signal, progress } = options;
  const problems: Problem[] = [...options.problems];
  // What a socket would replace says more than that something is in its place.
  await collect(problems, () => checkServePaths(options));
  if (listen !== undefined) await collect(problems, () => checkListen(listen));
  problems.push(...ofSource);
  await collect(problems, () => checkQemu({ tools: ['qemu-img', 'qemu-nbd'], signal }));
  throwProblems(problems, plan);
  const [chain] = chains;
  if (store === undefined || chain === undefined || listen === undefined)
    throw new TypeError('nothing, and no problem');
  throwProblems([...checkOpenFiles([chain], 'streamed'), ...checkMemory(options.window ?? DEFAULT_WINDOW)], plan);
  for (const message of chain.warnings) progress.report({ type: 'warning', pvc: chain.disk.name, message });
  progress.report({ type: 'phase-finished', phase: 'preflight', seconds: secondsSince(options.startedAt) });
  return { store, chain, listen };
}

/** The PVC to serve; none, and USAGE, when the plan holds several and none is named. */
function choosePvc({ plan, pvc, problems = [] }: ServeOptions): { pvcs: readonly string[]; problems: Problem[] } {
  if (pvc !== undefined) return { pvcs: [pvc], problems: [...problems] };
  const [first, ...others] = plan.pvcs;
  if (others.length === 0) return { pvcs: [first.name], problems: [...problems] };
  const message = `the plan has ${plan.pvcs.length} PVCs, but serve exports one at a time`;
  return {
    pvcs: [],
    problems: [...problems, { code: 'USAGE', message, hint: `choose one, for example --pvc ${first.name}` }],
  };
}

async function warnAboutLayers(options: ServeOptions, chain: CheckedChain, served: ServedChain): Promise<void> {
  const pvc = chain.disk.name;
  const value = await runPhase(options.progress, { pvc, phase: 'check-image' }, () => examineChain(served));
  for (const [index, outcome] of value.entries()) {
    const message = imageWarning(outcome, served.layers[index]?.where ?? '');
    if (message !== undefined) options.progress.report({ type: 'warning', pvc, message });
  }
}

function warnOf({ progress, signal }: ServeOptions, { disk }: CheckedChain): (error: unknown) => void {
  return (error) => {
    if (signal.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    progress.report({ type: 'warning', pvc: disk.name, message: `I/O error returned to client: ${message}` });
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
