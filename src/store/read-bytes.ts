// Small ranges of a pinned object, in memory.
import { memorySink } from './memory-sink.ts';
import type { ObjectInfo, ObjectStart, ObjectStore } from './store.ts';

/** The `length` bytes from `offset` of the pinned object; the range must lie inside it. Rejects as `ObjectStore.read`. */
export async function readBytes(
  store: Pick<ObjectStore, 'read'>,
  info: ObjectInfo,
  { offset, length, signal }: { readonly offset: number; readonly length: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  if (length === 0) return bytes;
  const { key, etag, size } = info;
  const sink = memorySink((from) => bytes.subarray(from));
  await store.read(key, { offset, length, etag, size, signal }, sink);
  return bytes;
}

/** As `ObjectStore.start`, by two requests. */
export async function headAndRead(
  store: Pick<ObjectStore, 'head' | 'read'>,
  key: string,
  { length, signal }: { readonly length: number; readonly signal: AbortSignal },
): Promise<ObjectStart> {
  const info = { ...(await store.head(key, { signal })), checksums: [] };
  return { info, bytes: await readBytes(store, info, { offset: 0, length: Math.min(length, info.size), signal }) };
}
