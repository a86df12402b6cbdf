// What the NBD server serves: the contract that every export fulfils and test/contract/export.ts checks.

/** A range of an export as base:allocation tells it. */
export interface Extent {
  /** Bytes, ≥ 1. */
  readonly length: number;
  /** Not stored anywhere. */
  readonly hole: boolean;
  /** Reads as zeroes. Only ever true when it is certain. */
  readonly zero: boolean;
}

export interface ExportData {
  /**
   * The bytes, in order; their lengths add up to exactly the length that was asked for. They are written to the socket
   * as they are, without a copy: they may be views of larger or shared memory, which must not change until `release`.
   */
  readonly chunks: readonly Uint8Array[];
  /** Called exactly once, when the bytes were written or their reader is gone. Must not throw. */
  readonly release?: () => void;
}

/**
 * Bytes under a name, which never change while they are served. Several clients read at the same time, each with many
 * requests under way, which are answered in whatever order they are ready. So a read must never wait for another read
 * to begin, to finish or to be released: the server may hold that one back, and both would wait for ever.
 */
export interface Export {
  /** As clients ask for it; '' is the default export. At most 4096 bytes of UTF-8 without NUL. */
  readonly name: string;
  /** For people, in lists. The same bounds. */
  readonly description?: string;
  /** Bytes, 0 … 2^53−1. Need not be a multiple of anything. */
  readonly size: number;
  /** The request size that is served best, in bytes: a power of two, 512 … 32 MiB. Any range can be read all the same. */
  readonly preferredBlockSize?: number;
  /**
   * Reads [offset, offset + length), which lies inside the export; length ≥ 1 and at most the server's limit. Rejects when
   * the bytes cannot be had; the client then gets EIO and the error's message, the server's owner the error itself.
   * `signal` is aborted when the reader is gone or the server ends: the read then rejects soon, and nothing of it runs on
   * (what it resolves to all the same is released).
   */
  read(offset: number, length: number, signal: AbortSignal): Promise<ExportData>;
  /**
   * Which parts of [offset, offset + length) are known to be holes or zeroes: consecutive extents from `offset` on, at
   * least one; they may end before the range does (the client asks on) or after it. Left out where nothing is known.
   */
  extents?(offset: number, length: number, signal: AbortSignal): Promise<readonly Extent[]>;
}
