// Small reads of an object into memory: headers and tables, never a whole layer.
import type { ObjectInfo, ObjectStore } from '../store/store.ts';

/** The `length` bytes from `offset` of the pinned object; the range must lie inside it. Rejects as `ObjectStore.read`. */
export async function readBytes(
  store: ObjectStore,
  info: ObjectInfo,
  { offset, length, signal }: { readonly offset: number; readonly length: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  if (length === 0) return bytes;
  let filled = 0;
  await store.read(
    info.key,
    { offset, length, etag: info.etag, size: info.size, signal },
    {
      room: () => bytes.subarray(filled),
      filled: (count) => {
        filled += count;
      },
    },
  );
  return bytes;
}
