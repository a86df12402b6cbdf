// What a made backup looks like: the knobs of makeBackup, and what it gives back.
import type { WriterName } from './writer.ts';

export type LayerType = 'full' | 'incremental';

/** What one step writes. Places and bytes follow from seed, disk and checkpoint alone. */
export interface Writes {
  /** Bytes of data written, rounded up to whole units of the pattern. Default: as the disk's size suggests. */
  readonly bytes?: number;
  /** Single 64 KiB units all over the disk, or runs of 1 MiB. Default: `scattered`. */
  readonly pattern?: 'scattered' | 'runs';
  /** Bytes overwritten with zeroes after that. */
  readonly zero?: number;
  /** Bytes discarded after that. */
  readonly discard?: number;
  /** Only between these two offsets. Default: the whole disk. */
  readonly region?: readonly [number, number];
}

/** The format of a layer. Like KubeVirt only `clusterSize` (64 KiB or 256 KiB) and `backing` can be chosen. */
export interface LayerFormat {
  /** 512 … 2 MiB, a power of two. Default: 256 KiB like KubeVirt, 64 KiB like another writer. */
  readonly clusterSize?: number;
  /** `0.10` is qcow2 version 2. */
  readonly compat?: '0.10' | '1.1';
  /** Needs clusters of at least 16 KiB. */
  readonly extendedL2?: boolean;
  readonly compressed?: boolean;
  /** Recorded as the backing file of an incremental. Default: a path in virt-launcher like KubeVirt, none like another writer. */
  readonly backing?: string;
}

export interface DiskShape extends LayerFormat {
  readonly name: string;
  /** Bytes at its first checkpoint, a multiple of 512. */
  readonly size: number;
  /** The PVC's name in the index. Default: `<vm>-<name>` like KubeVirt, `<name>` like another writer. */
  readonly pvc?: string;
  /** The checkpoint, counted from 1, at which the disk appears, with a full layer. Default: 1. */
  readonly from?: number;
  /** New sizes, by checkpoint. */
  readonly resize?: Readonly<Record<number, number>>;
  /** The first state; `bytes` is a quarter of the disk by default, 16 MiB at most. The first and last unit are always written. */
  readonly initial?: Writes;
  /** Every later step; `bytes` is a 32nd of the disk by default, 2 MiB at most. */
  readonly changes?: Writes;
  /** What these steps write instead, by checkpoint; `nothing` makes an empty incremental. */
  readonly at?: Readonly<Record<number, Writes | 'nothing'>>;
  /** What differs in single layers, by checkpoint. */
  readonly formats?: Readonly<Record<number, LayerFormat>>;
  /** An ext4 file system whose files change at every checkpoint, in place of `initial`, `changes` and `at`. */
  readonly fileSystem?: boolean;
}

export interface BackupShape {
  /** Whose backups they resemble. Default: `kubevirt`. */
  readonly like?: WriterName;
  readonly disks: readonly [DiskShape, ...DiskShape[]];
  /** How many checkpoints, ≥ 1. Default: 4. */
  readonly checkpoints?: number;
  /** Every Nth checkpoint is a full one. Default: only the first. */
  readonly fullEvery?: number;
  /** Default: `demo`. */
  readonly namespace?: string;
  /** Default: `web`. */
  readonly vm?: string;
  /** The folder in the bucket that holds checkpoints/ and manifests/. Default: none. */
  readonly prefix?: string;
  /** Default: `1`. */
  readonly seed?: string;
  /** The two shapes of `files` in the index. Default: `objects`. */
  readonly files?: 'objects' | 'names';
  /** `diskName` in those objects: whole, cut as older uploaders did (`datadisk-1` → `1`), or left out. Default: `whole`. */
  readonly diskNames?: 'complete' | 'cut' | 'absent';
  /** How the per-VM manifest is named. Default: `namespace-vm`. */
  readonly manifestName?: 'namespace-vm' | 'vm';
}

export interface MadeLayer {
  readonly disk: string;
  readonly pvc: string;
  readonly checkpoint: string;
  readonly type: LayerType;
  /** Key relative to the prefix. */
  readonly object: string;
  /** The layer in the bucket folder. */
  readonly path: string;
  /** Bytes of the object. */
  readonly size: number;
  readonly virtualSize: number;
  /** The true disk at this checkpoint: a sparse raw file, there if it was kept. */
  readonly truth: string;
}

export interface MadeCheckpoint {
  /** The backup that was taken of it: `backup-001`. */
  readonly backup: string;
  /** `vmb-001-2025-11-01_02-00-00` like KubeVirt, `cp-001` like another writer. */
  readonly id: string;
  /** The VirtualMachineBackup's name, with which the layers' names begin: `vmb-001`. */
  readonly vmBackup: string;
  readonly type: LayerType;
  /** A full that was asked for, though an incremental was possible. */
  readonly forced?: boolean;
  readonly parent?: string;
  /** RFC 3339. */
  readonly timestamp: string;
  /** Checkpoint ids, full first, this one last. */
  readonly chain: readonly string[];
  /** In the order of the disks. */
  readonly layers: readonly MadeLayer[];
}

export interface MadeBackup {
  readonly namespace: string;
  readonly vm: string;
  /** The folder that stands for the bucket. */
  readonly bucket: string;
  /** '' or as the shape says. */
  readonly prefix: string;
  /** The folder in it that holds checkpoints/ and manifests/. */
  readonly directory: string;
  /** Oldest first. */
  readonly checkpoints: readonly MadeCheckpoint[];
}
