// What the strategies with scratch need of a run.
import type { CheckedChain } from '../chain/check-layers.ts';
import type { PvcStats } from '../chain/tally.ts';
import type { Progress } from '../progress.ts';
import type { WorkFolder } from '../scratch/work-folder.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Strategy } from '../strategy.ts';

export interface StagedRun {
  readonly options: {
    readonly strategy: Strategy;
    /** Compare with the plan's SHA-256 and the store's checksums. */
    readonly checksums: boolean;
    /** Range requests at a time; undefined for the default. */
    readonly concurrency?: number;
    /** Bytes of one range request; undefined for the default. */
    readonly partSize?: number;
    readonly progress: Progress;
  };
  readonly store: ObjectStore;
  readonly folder: Pick<WorkFolder, 'journal'>;
  readonly signal: AbortSignal;
}

export interface StageOptions {
  readonly chain: CheckedChain;
  /** The PVC's folder in scratch. */
  readonly folder: string;
  readonly tally: PvcStats;
}
