// A backup in a folder: a copy of the bucket, or a bucket that is mounted.
import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable } from '../../concurrency.ts';
import { DatamoverError, systemCode } from '../../errors.ts';
import type { RetryEvent } from '../../progress.ts';
import { checkKey, checkPrefix } from '../key.ts';
import { checkRange, tooLarge } from '../limits.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy, TransientError } from '../retry/policy.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import { WatchedSink } from '../retry/watched-sink.ts';
import type { ObjectInfo, ObjectStore, ReadRange, Sink } from '../store.ts';
import { changedFile, type ObjectFile, withObjectFile } from './file.ts';
import { listFolder } from './list.ts';

export interface DirectoryOptions {
  /** The folder that holds `checkpoints/` and `manifests/`. */
  readonly directory: string;
}

export interface OpenDirectoryOptions {
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  readonly policy?: RetryPolicy;
}

/**
 * Opens the folder as a store. OBJECT_MISSING when it is not there or is not a directory, ACCESS_DENIED when it may not be
 * entered. An object is a regular file below it; links may lead about inside of it, never out of it (ACCESS_DENIED).
 * The ETag is made of size and modification time: a file that was replaced or written to is OBJECT_CHANGED, unless both stayed the same.
 */
export async function openDirectoryStore(
  { directory }: DirectoryOptions,
  { onRetry, policy = DEFAULT_RETRY_POLICY }: OpenDirectoryOptions = {},
): Promise<ObjectStore> {
  const root = await realRoot(directory);
  const source = { answered: true };
  const place = (key: string) => ({ root, path: join(root, key), where: join(directory, key) });
  const context = (signal: AbortSignal): RetryContext => ({ policy, source, onRetry, signal });
  return {
    description: directory,
    describe: (key) => join(directory, key),
    head: async (key, { signal }) => {
      checkKey(key);
      const request = { key, what: `reading ${place(key).where}` };
      return await withRetries(request, context(signal), () =>
        withObjectFile(place(key), async (file) => infoOf(key, file)),
      );
    },
    start: async (key, { length, signal }) => {
      checkKey(key);
      checkRange(key, { offset: 0, length, size: length });
      const request = { key, what: `reading ${place(key).where}` };
      return await withRetries(request, context(signal), () =>
        withObjectFile(place(key), async (file) => {
          const bytes = await readFirst(file, { length: Math.min(length, file.size), signal });
          return { info: infoOf(key, file), bytes };
        }),
      );
    },
    read: (key, range, sink) => readRange(place(key), { key, range, sink, context: context(range.signal) }),
    get: async (key, { maxBytes, signal }) => {
      checkKey(key);
      const request = { key, what: `reading ${place(key).where}` };
      return await withRetries(request, context(signal), () =>
        withObjectFile(place(key), async (file) => await readWhole(file, { maxBytes, signal })),
      );
    },
    list: async function* (prefix, { signal }) {
      checkPrefix(prefix);
      signal.throwIfAborted();
      await realRoot(directory);
      const request = { key: prefix, what: `listing ${place(prefix).where}` };
      yield* await withRetries(request, context(signal), () => listFolder(place(prefix), prefix, signal));
    },
    close: async () => {},
  };
}

/** The folder with its links resolved. */
async function realRoot(directory: string): Promise<string> {
  try {
    const root = await realpath(directory);
    if ((await stat(root)).isDirectory()) return root;
    throw new DatamoverError('OBJECT_MISSING', `${directory} is not a directory`, {
      hint: 'name the directory that contains checkpoints/ and manifests/',
    });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EACCES' || code === 'EPERM') {
      throw new DatamoverError('ACCESS_DENIED', `${directory}: permission denied (${code})`, {
        hint: 'run as a user who can read it',
        cause: error,
      });
    }
    if (code === undefined) throw error;
    throw new DatamoverError('OBJECT_MISSING', `${directory}: directory not found (${code})`, {
      hint: 'name the directory that contains checkpoints/ and manifests/; a relative path starts at the plan file',
      cause: error,
    });
  }
}

function infoOf(key: string, { size, etag }: ObjectFile): ObjectInfo {
  return { key, size, etag, checksums: [] };
}

async function readRange(
  place: { readonly root: string; readonly path: string; readonly where: string },
  options: { readonly key: string; readonly range: ReadRange; readonly sink: Sink; readonly context: RetryContext },
): Promise<void> {
  const { key, range, context } = options;
  checkKey(key);
  checkRange(key, range);
  const sink = new WatchedSink(options.sink, range);
  const request = { key, what: `reading ${place.where}`, offset: () => sink.position };
  const once = (): Promise<void> =>
    withObjectFile(place, async (file) => {
      if (file.etag !== range.etag) throw changedFile(place.where);
      while (sink.left > 0) {
        range.signal.throwIfAborted();
        const count = await file.read(sink.room(), sink.position);
        if (count === 0) break;
        const busy = sink.filled(count);
        if (busy !== undefined) await abortable(busy, range.signal);
      }
      // Also when all bytes came: they may be another version's, written while they were read.
      if ((await file.currentEtag()) !== range.etag) throw changedFile(place.where);
      if (sink.left > 0)
        throw new TransientError(`ended at byte ${sink.position} of ${range.size}`, { fewRetries: true });
    });
  await withRetries(request, context, (attempt) => sink.during(attempt, range.signal, once));
}

async function readWhole(
  file: ObjectFile,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  if (file.size > maxBytes) throw tooLarge(file.where, file.size, maxBytes);
  return await readFirst(file, { length: file.size, signal });
}

async function readFirst(
  file: ObjectFile,
  { length, signal }: { readonly length: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let position = 0; position < bytes.length; ) {
    signal.throwIfAborted();
    const count = await file.read(bytes.subarray(position), position);
    if (count === 0) break;
    position += count;
  }
  // What was rewritten meanwhile is read again, from its beginning.
  if ((await file.currentEtag()) !== file.etag) throw new TransientError('changed while it was read');
  return bytes;
}
