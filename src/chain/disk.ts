// A disk to restore, resolved: its target and its chain, whether written out in the plan or found in the bucket.
import type { BackupFacts } from '../catalog/backup-facts.ts';
import type { ChainBase } from '../catalog/health.ts';
import type { CatalogFile, Link } from '../catalog/vm-index.ts';
import type { LayerType } from '../chain-order.ts';
import type { Qcow2Header } from '../qcow2/header.ts';
import type { ObjectInfo } from '../store/store.ts';

export interface Layer {
  readonly checkpoint: string;
  readonly type: LayerType;
  /** Object key, relative to the source's prefix. */
  readonly object: string;
  /** Declared bytes, where the plan or the index declares them. */
  readonly size?: number;
  /** Declared SHA-256, lower-case hex. */
  readonly sha256?: string;
}

export interface CheckedLayer {
  readonly layer: Layer;
  /** Size and ETag, which pin the version that every later read must still meet. */
  readonly info: ObjectInfo;
  readonly header: Qcow2Header;
}

export interface Disk {
  /** The PVC's name in the plan: the disk's name in the backup, or `namespace/vm/disk` in a plan of several VMs. */
  readonly name: string;
  /** The disk's name in the backup, in a plan of several VMs. */
  readonly disk?: string;
  /** As the plan says it: a block device or a file. */
  readonly target: string;
  /** The PVC's declared size in bytes. */
  readonly size?: number;
  /** Full first, then incrementals in order. */
  readonly layers: readonly [Layer, ...Layer[]];
  /** What is known of a chain that was looked up, or of one that was written out once it was compared with the documents. */
  readonly origin?: ChainOrigin;
}

export interface ChainOrigin {
  /** Where the chain starts, and what proves that its layer needs no parent. */
  readonly base: ChainBase;
  /** What proves the order of its layers. */
  readonly order: Link;
  /** The tip's entry in the index, of a chain that was looked up. */
  readonly file?: CatalogFile;
  /** What the archived backup of the tip says. */
  readonly facts?: BackupFacts | undefined;
}
