// What `manifest` is asked for: the options of the objects that it prints.
import type { Strategy } from '../strategy.ts';

export interface ManifestOptions {
  readonly image: string;
  /** Undefined for the namespace of each VM, or of kubectl where the plan holds one VM whose PVCs exist. */
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly scratch: ScratchChoice;
  /** A Secret whose keys are the files that the plan names, and `cloud`, the credentials, when it names none. */
  readonly secret?: string;
  readonly strategy: Strategy;
  readonly force: boolean;
  /** Compare each target with the backup after its restore. */
  readonly verify?: 'none' | 'compare';
  /** Compress target files that are qcow2 images. */
  readonly compress?: boolean;
  /** Report the SHA-256 of each target. */
  readonly hash?: boolean;
  /** Restore a plan whose order is unproven. */
  readonly acceptUnproven?: boolean;
  readonly runAsRoot: boolean;
  /** The group that may write volumes; undefined where the cluster chooses it, as OpenShift does. */
  readonly fsGroup?: number;
  /** Names of target PVCs, by the PVC's name in the plan; one that is absent has the plan's `claimName`, or the disk's name. */
  readonly claims: ReadonlyMap<string, string>;
  /** Print the target PVCs as well; undefined where they exist. */
  readonly createPvcs?: CreatePvcs;
  readonly scheduling?: Scheduling;
}

export interface Scrub {
  /** Five fields of cron, or a macro such as `@weekly`. */
  readonly schedule: string;
  /** Bytes per second. */
  readonly maxRate?: number;
}

export interface CreatePvcs {
  /** Undefined for the cluster's default class. */
  readonly storageClass?: string;
  /** By the name of the disk, or of the PVC in the plan, which counts for more. */
  readonly storageClasses: ReadonlyMap<string, string>;
  readonly accessMode: AccessMode;
}

export const ACCESS_MODES = ['ReadWriteOnce', 'ReadWriteMany', 'ReadWriteOncePod'] as const;
export type AccessMode = (typeof ACCESS_MODES)[number];

/** When and where pods run, and how long a Job that has ended is kept. */
export interface Scheduling {
  /** A LocalQueue of Kueue, which starts the Jobs. */
  readonly queue?: string;
  readonly priorityClass?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly Toleration[];
  readonly ttlSeconds?: number;
}

export interface Toleration {
  readonly key: string;
  readonly operator: 'Equal' | 'Exists';
  readonly value?: string;
  readonly effect?: TaintEffect;
}

export const TAINT_EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const;
type TaintEffect = (typeof TAINT_EFFECTS)[number];

export type ScratchChoice =
  /** A volume that lives as long as its pod. `size` in bytes; undefined for what the plan needs. */
  | { readonly kind: 'ephemeral'; readonly storageClass?: string; readonly size?: number }
  /** A claim that is there already: a new pod goes on where the last one stopped. */
  | { readonly kind: 'claim'; readonly claim: string };
