// A disk to restore, resolved: its target and its chain, whether written out in the plan or found in the bucket.

export interface Layer {
  readonly checkpoint: string;
  readonly type: 'full' | 'incremental';
  /** Object key, relative to the source's prefix. */
  readonly object: string;
  /** Declared bytes, where the plan or the index declares them. */
  readonly size?: number;
  /** Declared SHA-256, lower-case hex. */
  readonly sha256?: string;
}

export interface Disk {
  /** The PVC's name in the plan: the disk's name in the backup. */
  readonly name: string;
  /** As the plan says it: a block device or a raw file. */
  readonly target: string;
  /** The PVC's declared size in bytes. */
  readonly size?: number;
  /** Full first, then incrementals in order. */
  readonly layers: readonly [Layer, ...Layer[]];
}
