// The object store: the contract that s3.ts and directory.ts fulfil and test/contract/store.ts checks.
//
// Keys are relative to the source's prefix, '/'-separated, never absolute, never climbing; a key that is not so is
// refused by every method with PLAN_INVALID before anything is asked. Objects are pinned: `head` gives an ETag, every
// read names it, and an object that no longer has it is OBJECT_CHANGED, never a mix of two versions.
//
// Failures are DatamoverErrors: OBJECT_MISSING (a missing bucket or folder too), ACCESS_DENIED, OBJECT_CHANGED,
// SOURCE_UNREACHABLE (after the retries of design section 8, which are done here and nowhere else). When `signal` is
// aborted every method rejects soon with the signal's reason, and nothing of it runs on.

export interface ObjectInfo {
  readonly key: string;
  /** Bytes, 0 … 2^53−1. */
  readonly size: number;
  /** Opaque pin of this very version. */
  readonly etag: string;
  /** Full-object checksums that the store keeps; composite ones ("-N") are left out. */
  readonly checksums: readonly ObjectChecksum[];
}

export interface ObjectChecksum {
  readonly algorithm: 'crc32' | 'crc32c' | 'crc64nvme' | 'md5' | 'sha1' | 'sha256';
  /** Lower-case hex. */
  readonly hex: string;
}

export type ListEntry =
  | { readonly kind: 'object'; readonly key: string; readonly size: number }
  /** A common prefix, ending in '/'. */
  | { readonly kind: 'prefix'; readonly key: string };

/** What `start` gives. */
export interface ObjectStart {
  /** Without checksums: a range proves nothing of them. */
  readonly info: ObjectInfo;
  readonly bytes: Uint8Array;
}

export interface ReadRange {
  /** First byte, ≥ 0. */
  readonly offset: number;
  /** How many bytes, ≥ 1; the range must lie inside the object. */
  readonly length: number;
  /** The pin that `head` gave. */
  readonly etag: string;
  /** The object's size that `head` gave; an answer with another total is OBJECT_CHANGED. */
  readonly size: number;
  readonly signal: AbortSignal;
}

/**
 * Where the bytes of a read go. The store asks for room, fills its beginning, and says how much; bytes come in order
 * and each exactly once, also when the store had to try again in between.
 *
 * A sink is busy until the promise that `filled` returned settles. The store does not ask it for room until then, whatever
 * becomes of the source meanwhile, and does not end the read either: when `read` settles, the sink is at rest. One read is
 * excepted, whose signal is aborted: it rejects at once, touches the sink no more, and the sink's owner waits for what it began
 * before it uses the memory for anything else.
 */
export interface Sink {
  /** Memory for the next bytes, at least 1 long. It must stay untouched by others until `filled` or the read's end. */
  room(): Uint8Array;
  /** `count` bytes (≥ 1) were put at the start of the last `room()`. A returned promise holds the source back until it settles. */
  filled(count: number): void | Promise<void>;
}

export interface ObjectStore {
  /** For messages: `s3://bucket/prefix` or the folder's path. */
  readonly description: string;
  /** `--source=…` and what else reaches it from a command line; undefined where it is `--source=` and the description. */
  readonly sourceFlags?: readonly string[];
  /** Where a key lies, for messages: `s3://bucket/prefix/key` or a path. */
  describe(key: string): string;
  head(key: string, options: { readonly signal: AbortSignal }): Promise<ObjectInfo>;
  /**
   * An object's pin and its first `length` bytes (≥ 1), fewer where it is smaller, both of one version. It is one request where `head`
   * and `read` are two. For readers of the complete object `head` also gives the checksums.
   */
  start(key: string, options: { readonly length: number; readonly signal: AbortSignal }): Promise<ObjectStart>;
  /**
   * Reads exactly `length` bytes from `offset` of the pinned version into `sink`, or rejects. A rejection of
   * `sink.filled` ends the read and is what this rejects with.
   */
  read(key: string, range: ReadRange, sink: Sink): Promise<void>;
  /** A whole small object. METADATA_INVALID when it is larger than `maxBytes`, which is found before it is read. */
  get(key: string, options: { readonly maxBytes: number; readonly signal: AbortSignal }): Promise<Uint8Array>;
  /**
   * What lies right under `prefix` ('' or ending in '/'): objects and, one level deep, common prefixes. Pages by itself;
   * order is by key within each kind. A prefix with nothing under it gives nothing; a missing bucket or root folder is OBJECT_MISSING.
   */
  list(prefix: string, options: { readonly signal: AbortSignal }): AsyncIterable<ListEntry>;
  /** Ends kept connections. Reads under way must have ended. */
  close(): Promise<void>;
}
