// A target: the block device or file that a disk is restored onto, and the promises of design section 8 about it.
import type { CacheMode } from '../direct-io.ts';
import type { FreeSpace } from '../free-space.ts';
import type { FileFormat } from '../target-file-name.ts';
import type { ByteRange } from '../units.ts';
import type { Checksum } from './checksum.ts';
import type { Claim, ClaimIdentity } from './claim.ts';
import type { DiskIo } from './disk-io.ts';

/** Who a target is, for the journal: equal again for the same device or file place, whatever name it has. */
export interface TargetIdentity {
  readonly kind: 'block' | 'file';
  /** A device: `major:minor`. A file: its real path. */
  readonly place: string;
  /** Bytes of a device; null for a file. */
  readonly size: number | null;
  /** What the kernel knows of the medium (serial, WWN, backing file…); null where it knows nothing. */
  readonly medium: string | null;
}

export interface Target {
  readonly kind: 'block' | 'file';
  /** As it was given. */
  readonly path: string;
  /** How the disk is stored in it: `qcow2` in a file of such a name. */
  readonly format: FileFormat;
  /** Links resolved. */
  readonly realPath: string;
  /** Paths that are written, replaced or removed there: the device; or the file and the one beside its place. */
  readonly written: readonly string[];
  /** Bytes of a block device; undefined for a file, which grows. */
  readonly capacity: number | undefined;
  readonly identity: TargetIdentity;
  /** Whether zeroing costs no writing of zeros. */
  readonly fastZero: boolean;
  /** Bytes of a device's logical block, which it writes completely or not at all; 512 for a file. */
  readonly sectorSize: number;
  /** TARGET_TOO_SMALL with both numbers, unless a disk of `diskSize` bytes fits. */
  checkSize(diskSize: number): void;
  /**
   * The space of the file system that a file will occupy, and the bytes that a killed run left there and this one removes
   * first. Undefined for a device.
   */
  freeSpace(): Promise<{ readonly space: FreeSpace; readonly leftBytes: number } | undefined>;
  /**
   * TARGET_NOT_BLANK unless it is blank (a device: first and last MiB zero, read past the page cache; a file: not there),
   * or holds a claim that fits `excuse`, or `force` is given. Gives which of them it was.
   */
  checkBlank(options: BlankOptions): Promise<'blank' | 'claimed' | 'overwrite'>;
  /** CRC-32 of the ranges' bytes one after the other, read past the page cache, and whether all of them are zero. */
  checksum(ranges: readonly ByteRange[]): Promise<Checksum>;
  /** Claims a device, or makes a file beside its place; from here on `finish` or `abandon` must follow. */
  begin(options: BeginOptions): Promise<TargetSession>;
  /** Lets `work` read the bytes that are on the target now (of a qcow2 file: the image's), past the page cache where that is possible. */
  reading<T>(work: (io: Pick<DiskIo, 'unit' | 'read'>) => Promise<T>): Promise<T>;
  /** Bytes of a device, or that a file has now; undefined where there is no file. */
  length(): Promise<number | undefined>;
  /**
   * Of a target that an earlier run finished, and may have died right after its last write: flushes it, and takes away what
   * that run had no time to. TARGET_WRITE_FAILED when not all is on the medium.
   */
  syncCompleted(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface BlankOptions {
  readonly force: boolean;
  readonly ownClaim: ClaimIdentity | undefined;
}

export interface BeginOptions {
  readonly claim: Claim;
  /** Bytes, a multiple of 512; `checkSize` let it pass. */
  readonly diskSize: number;
  /** Whether a file that came to be at the target's place since `checkBlank` may be replaced (`--force`). */
  readonly replace: boolean;
  readonly signal: AbortSignal;
}

export interface FinishedTarget {
  /** What could not be kept of a file that was replaced: its owner. */
  readonly warnings: readonly string[];
}

export interface TargetSession {
  /** What qemu-img opens: the device, or the file beside the target's place, which is empty where it is to become a qcow2 image. */
  readonly writePath: string;
  readonly driver: 'host_device' | 'file';
  /** `none` where it takes O_DIRECT. */
  readonly cache: CacheMode;
  /** It reads as zeros everywhere, so zeros need not be written. */
  readonly isZero: boolean;
  /** Writes of this process, which end before `flush`, `finish` and `abandon` are called. */
  readonly io: DiskIo;
  /**
   * What the caller must leave at the disk's edges until `finish`: `head` at 0, zeros in the ranges. Undefined for a
   * file, which has no edges: the caller writes all of it; and for a disk without a body, of which it writes nothing.
   */
  readonly mask: { readonly head: Uint8Array; readonly zeros: readonly ByteRange[] } | undefined;
  /** What the caller writes, if it is not empty; the bytes around it are masked. */
  readonly body: ByteRange;
  /** What the caller hands to `finish`, in this order. */
  readonly edges: readonly ByteRange[];
  /** What the caller zeroes before `finish`. */
  readonly tail: ByteRange | undefined;
  /** TARGET_WRITE_FAILED when not all that was written is on the medium. */
  flush(): Promise<void>;
  /**
   * Writes the edges, the first 4 KiB last of all, flushes, and proves them by reading them back (VERIFY_MISMATCH); a
   * file is flushed and gets its name, with owner, group and permissions of the file that it replaces. TARGET_BUSY when the claim, or the file, is no longer ours; TARGET_NOT_BLANK when
   * a file came to be in its place that may not be replaced.
   */
  finish(edges: readonly Uint8Array[]): Promise<FinishedTarget>;
  /** Takes back what `begin` did. Never rejects, so that it hides no error: `problem` says what could not be taken back. */
  abandon(): Promise<{ readonly problem?: string }>;
}
