// Where the bytes of a virtual disk go when this process carries them itself, without qemu-img.
import type { ByteRange } from '../units.ts';

export interface Destination {
  /**
   * Bytes. Every write starts at a multiple of it, in memory too, and ends at one or at the end of the disk: what O_DIRECT
   * asks for.
   */
  readonly unit: number;
  /**
   * Called once, before anything is written; bytes are fetched meanwhile. Resolves with whether the destination reads as zeros where
   * nothing was written: then runs of zeros are left out, and `zero` is not called. Settles soon after `signal` was aborted.
   */
  prepare(signal: AbortSignal): Promise<Prepared>;
  /** Writes `bytes` at `offset` of the disk. Several at a time; the memory stays as it is until the promise settles. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Makes a range of the disk read as zeros. */
  zero(range: ByteRange): Promise<void>;
}

export interface Prepared {
  readonly readsZero: boolean;
}

/** Observes the disk as its bytes were received, each range once, in any order. */
export interface Witness {
  sawBytes(bytes: Uint8Array, offset: number): void;
  sawZeros(range: ByteRange): void;
}

export interface CarryOptions {
  readonly destination: Destination;
  readonly witness?: Witness | undefined;
  /** Bytes of the disk that are in place since the last call. */
  readonly onDone?: (count: number) => void;
}
