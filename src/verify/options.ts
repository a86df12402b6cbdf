// What `verify` is asked for, and what it finds of each layer.
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Examined } from '../chain/examine.ts';
import type { ResolvedDisks } from '../chain/resolve.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Paths } from '../paths/paths.ts';
import type { Plan } from '../plan/plan.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';

export interface VerifyOptions {
  readonly plan: Plan;
  /** Just these PVCs of the plan; undefined for all. A name that the plan does not hold is USAGE. */
  readonly pvcs?: readonly string[];
  /** The scratch directory; undefined to read the layers in place. */
  readonly scratch?: string;
  /** Range requests at a time; undefined for the default. */
  readonly concurrency?: number;
  /** Bytes per second of all reads of the source together; undefined for no limit. */
  readonly maxRate?: number;
  /** Bytes of one range request; undefined for the default. */
  readonly partSize?: number;
  /** Compare with the plan's SHA-256 and the store's checksums. */
  readonly checksums: boolean;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** Where every path that is read or written is recorded. */
  readonly paths: Paths;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** The disks of the plan, where its chains were looked up already. */
  readonly resolved?: ResolvedDisks;
  /** What is wrong with the command line and the plan already, reported with what is found. */
  readonly problems?: readonly Problem[];
  /** Also read every object through: checksums and `qemu-img check`, one layer at a time, in scratch if there is one. */
  readonly data: boolean;
}

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
  /** What was found of a layer that another chain holds as well, and was read with it; undefined for one that is to be read. */
  readonly known: (index: number) => LayerFindings | undefined;
  readonly onLayer: (index: number, findings: LayerFindings) => void;
}

/** What a damaged object is refused with; every other error is no finding about it. */
export function isCorruption(error: unknown): error is DatamoverError {
  return error instanceof DatamoverError && DAMAGE.has(error.code);
}

const DAMAGE: ReadonlySet<string> = new Set(['IMAGE_CORRUPT', 'IMAGE_UNSAFE', 'CHECKSUM_MISMATCH', 'SIZE_MISMATCH']);
