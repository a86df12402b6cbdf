// All that the source tells about a plan before anything is fetched. A source that cannot be opened or does not answer is one
// problem of many: what can be checked without it is checked all the same.
import type { Problem } from '../errors.ts';
import { withSource } from '../inventory/open-source.ts';
import type { Paths } from '../paths/paths.ts';
import { recordReads } from '../paths/recorded-store.ts';
import type { Plan } from '../plan/plan.ts';
import { problemsOf } from '../problems.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { type CheckedChain, checkLayers } from './check-layers.ts';
import { confirmChains } from './confirm.ts';
import type { Disk } from './disk.ts';
import { type ResolvedDisks, resolveDisks } from './resolve.ts';
import { isUnproven, unprovenMessage } from './unproven.ts';

export interface SourceAnswer {
  /** Undefined when the source could not be opened, which is among the problems then. */
  readonly store: ObjectStore | undefined;
  /** Whose chains are known, in the plan's order. */
  readonly disks: readonly Disk[];
  /** Of these disks, those whose layers are all there and fit together. */
  readonly chains: readonly CheckedChain[];
  readonly problems: readonly Problem[];
}

export interface AskOptions {
  readonly plan: Plan;
  readonly concurrency?: number | undefined;
  /** Bytes per second of all reads together. */
  readonly maxRate?: number | undefined;
  /** As `SourceOptions`. */
  readonly onRequest?: () => void;
  readonly env: NodeJS.ProcessEnv;
  /** Where every object that is read is recorded. */
  readonly paths: Paths;
  readonly progress: Progress;
  readonly pvcs?: readonly string[] | undefined;
  /** The disks of the plan, where its chains were looked up already. */
  readonly resolved?: ResolvedDisks | undefined;
  /** Whether the checksums that the store keeps of complete layers are asked for (default). */
  readonly storeChecksums?: boolean;
  /** Whether the targets of the plan will be used: placeholders are problems then. */
  readonly targetsUsed?: boolean;
  readonly signal: AbortSignal;
}

/** Opens the source for `work`, after every chain was resolved and checked. Rejects as `work`, and when cancelled. */
export async function withSourceAnswer<T>(options: AskOptions, work: (answer: SourceAnswer) => Promise<T>): Promise<T> {
  let isOpen = false;
  try {
    return await withSource({ ...options, source: options.plan.source }, async (source) => {
      isOpen = true;
      const store = recordReads(source, options.plan.source, options.paths);
      return await work(await askSource(store, options));
    });
  } catch (error) {
    if (isOpen) throw error;
    const { plan, pvcs, resolved, targetsUsed = false, signal } = options;
    signal.throwIfAborted();
    const { disks, problems } = resolved ?? (await resolveDisks(plan, undefined, { pvcs, targetsUsed, signal }));
    return await work({ store: undefined, disks, chains: [], problems: [...problems, ...problemsOf(error)] });
  }
}

async function askSource(
  store: ObjectStore,
  { plan, pvcs, resolved, storeChecksums = true, targetsUsed = false, progress, signal }: AskOptions,
): Promise<SourceAnswer> {
  const { disks, problems } = resolved ?? (await resolveDisks(plan, store, { pvcs, targetsUsed, progress, signal }));
  // It did not answer for as long as a request may take; layer by layer it would be asked as long again.
  if (problems.some(({ code }) => code === 'SOURCE_UNREACHABLE')) return { store, disks, chains: [], problems };
  try {
    const checked = await checkLayers(store, disks, { checksums: storeChecksums, signal });
    const { chains, problems: found } = await confirmChains(store, checked, { plan, progress, signal });
    for (const { disk, cut } of chains) {
      if (cut !== undefined) progress.report({ type: 'info', pvc: disk.name, message: cut });
    }
    return { store, disks, chains: chains.map(withWarning), problems: [...problems, ...found] };
  } catch (error) {
    signal.throwIfAborted();
    return { store, disks, chains: [], problems: [...problems, ...problemsOf(error)] };
  }
}

function withWarning(chain: CheckedChain): CheckedChain {
  if (!isUnproven(chain.disk)) return chain;
  return { ...chain, warnings: [...chain.warnings, unprovenMessage(chain.disk)] };
}
