// The plan (design section 6) as the program uses it: read, checked and normalised once, then trusted.
import type { AzureOptions } from '../azure-options.ts';
import type { GcsOptions } from '../gcs-options.ts';
import type { S3Options } from '../s3-options.ts';
import type { VmRef } from '../vm-ref.ts';

type LayerType = 'full' | 'incremental';

/** A layer as a plan writes it out. */
export interface PlanLayer {
  readonly checkpoint: string;
  readonly type: LayerType;
  /** The checkpoint of the layer before; checked already, kept for the plan that is written. */
  readonly parent?: string;
  /** Object key, relative to the source's prefix; neither absolute nor climbing. */
  readonly object: string;
  /** Declared bytes. */
  readonly size?: number;
  /** Declared SHA-256, 64 lower-case hex digits. */
  readonly sha256?: string;
}

/** Full first, then incrementals in order; checked. */
export type PlanChain = readonly [PlanLayer, ...PlanLayer[]];

export interface PlanPvc {
  /**
   * How `--pvc`, results and logs name it, unique in the plan: the disk's name in the backup, or `namespace/vm/disk` in a plan
   * of several VMs.
   */
  readonly name: string;
  /** The disk's name in the backup, in a plan of several VMs. */
  readonly disk?: string;
  /** The VM, where it is not the plan's. */
  readonly vm?: VmRef;
  /** The backup, where it is not the plan's. */
  readonly backup?: string;
  /** In place of a backup; only `verify --source` makes such PVCs, no plan file holds one. */
  readonly checkpoint?: string;
  /** The name of the PersistentVolumeClaim in the cluster, where it is not the disk's. */
  readonly claimName?: string;
  /** Absolute path of a block device or a file (raw, or qcow2 by its name); unique in the plan. */
  readonly target: string;
  /** The PVC's size in bytes. */
  readonly size?: number;
  /** Absent when it is found through `backup` and `vm`. */
  readonly chain?: PlanChain;
}

export interface S3Source extends S3Options {
  readonly kind: 's3';
}

export interface AzureSource extends AzureOptions {
  readonly kind: 'azure';
}

export interface GcsSource extends GcsOptions {
  readonly kind: 'gcs';
}

/** A folder that holds `checkpoints/` and `manifests/`. */
interface DirectorySource {
  readonly kind: 'directory';
  /** Absolute. */
  readonly directory: string;
}

export type PlanSource = S3Source | AzureSource | GcsSource | DirectorySource;

interface PlanScratch {
  /** Absolute; absent when flags or environment name it. */
  readonly path?: string;
  /** Percent added to the need for scratch, 0 … 1000. */
  readonly headroomPercent: number;
}

export interface Plan {
  readonly version: 1;
  readonly source: PlanSource;
  readonly scratch?: PlanScratch;
  /** Nothing proves the order of the layers: the plan was written with --accept-unproven, and is restored only with it. */
  readonly order?: 'unproven';
  /** With `vm`: where chains are looked up that are not written out. */
  readonly backup?: string;
  readonly vm?: VmRef;
  readonly pvcs: readonly [PlanPvc, ...PlanPvc[]];
}

/** Percent added to the need for scratch when the plan says nothing. */
export const DEFAULT_HEADROOM_PERCENT = 15;

/** Percent added to the need for scratch. */
export function headroomPercentOf({ scratch }: Pick<Plan, 'scratch'>): number {
  return scratch?.headroomPercent ?? DEFAULT_HEADROOM_PERCENT;
}

/** The PVC's index in the plan, which names its folder in scratch: `--pvc` must not make a later run look elsewhere. */
export function placeInPlan({ pvcs }: Pick<Plan, 'pvcs'>, pvc: string): number {
  return pvcs.findIndex(({ name }) => name === pvc);
}
