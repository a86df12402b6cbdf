// The header of a layer at the source.
import { HEADER_READ_BYTES, parseHeader, type Qcow2Header } from '../qcow2/header.ts';
import { readBytes } from '../store/read-bytes.ts';
import type { ObjectInfo, ObjectStore } from '../store/store.ts';

/** Reads it from the pinned object, by one small range; not validated. Rejects as `ObjectStore.read` and `parseHeader`, which names `where`. */
export async function readHeader(
  store: ObjectStore,
  info: ObjectInfo,
  { where, signal }: { readonly where: string; readonly signal: AbortSignal },
): Promise<Qcow2Header> {
  const length = Math.min(HEADER_READ_BYTES, info.size);
  return parseHeader(await readBytes(store, info, { offset: 0, length, signal }), where);
}
