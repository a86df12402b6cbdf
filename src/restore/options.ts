// What the engine is asked to do: the command line's flags and the plan, already merged and typed.
import type { AskOptions } from '../chain/ask-source.ts';
import type { Problem } from '../errors.ts';
import type { Paths } from '../paths/paths.ts';
import type { Plan } from '../plan/plan.ts';
import type { Progress } from '../progress.ts';
import type { WorkFolder } from '../scratch/work-folder.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Strategy } from '../strategy.ts';

export interface RestoreOptions {
  readonly plan: Plan;
  /** What is wrong with the command line and the plan already: reported with what the check finds, and nothing is restored. */
  readonly problems?: readonly Problem[];
  /** Just these PVCs of the plan; undefined for all. A name that the plan does not hold is USAGE. */
  readonly pvcs?: readonly string[];
  readonly strategy: Strategy;
  /** The scratch folder after flags, plan and environment; undefined when none of them names one. */
  readonly scratch?: string;
  readonly verify: 'none' | 'compare';
  /** Restore chains whose order no document proves. */
  readonly acceptUnproven?: boolean;
  /** Compress qcow2 targets (zstd); USAGE when the plan has none. */
  readonly compress?: boolean;
  /** Read each target back and hash it. */
  readonly hash?: boolean;
  /** Overwrite targets that are not blank. */
  readonly force: boolean;
  /** Forget what an interrupted run left. */
  readonly fresh: boolean;
  /** Ranged reads at a time; undefined for the default. */
  readonly concurrency?: number;
  /** Bytes per second of all reads of the source together; undefined for no limit. */
  readonly maxRate?: number;
  /** Bytes of one ranged read; undefined for the default. */
  readonly partSize?: number;
  /** Bytes that `stream` may hold fetched ahead; undefined for the default. */
  readonly window?: number;
  /** Check the plan's SHA-256 and the store's checksums. */
  readonly checksums: boolean;
  /** As `download` works: make missing parent folders (0700) of a file target. */
  readonly makeParents?: boolean;
  /** Refuse a target that is no block device. */
  readonly requireBlockDevice?: boolean;
  /** The environment as a value: proxies, the default credential chain, runtime folders, whether this is a pod. */
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** What else is read and written, as far as the caller knows: the plan's file, a report. */
  readonly paths: Paths;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /**
   * Takes a step that must follow the result: a completed run's work directory is removed then, so that a run that is killed before
   * its result is known finds its PVCs complete when it is started again. Undefined: removed before `restore` resolves.
   */
  readonly afterResult?: (step: () => Promise<void>) => void;
}

/** What every step of one run shares. */
export interface Run {
  readonly options: RestoreOptions;
  readonly store: ObjectStore;
  readonly planId: string;
  /** Random, of this run alone: part of the claim. */
  readonly runId: string;
  readonly folder: WorkFolder;
  readonly signal: AbortSignal;
}

/** What the preflight asks of the source. `stream` reads no complete object, which the checksums of the store are of. */
export function askedOf({ strategy }: Pick<RestoreOptions, 'strategy'>): Pick<AskOptions, 'storeChecksums'> {
  return { storeChecksums: strategy !== 'stream' };
}
