// The header of a layer at the source.
import { HEADER_READ_BYTES, parseHeader, type Qcow2Header } from '../qcow2/header.ts';
import { readBytes } from '../store/read-bytes.ts';
import type { ObjectInfo, ObjectStore } from '../store/store.ts';

interface Options {
  readonly where: string;
  readonly signal: AbortSignal;
}

/** Reads it from the pinned object, by one small range; not validated. Rejects as `ObjectStore.read` and `parseHeader`, which names `where`. */
export async function readHeader(
  store: ObjectStore,
  info: ObjectInfo,
  { where, signal }: Options,
): Promise<Qcow2Header> {
  const length = Math.min(HEADER_READ_BYTES, info.size);
  return parseHeader(await readBytes(store, info, { offset: 0, length, signal }), where);
}

/** As `readHeader`, with the pin of the object, by one request for both. */
export async function startHeader(
  store: ObjectStore,
  object: string,
  { where, signal }: Options,
): Promise<{ readonly info: ObjectInfo; readonly header: Qcow2Header }> {
  const { info, bytes } = await store.start(object, { length: HEADER_READ_BYTES, signal });
  return { info, header: parseHeader(bytes, where) };
}
