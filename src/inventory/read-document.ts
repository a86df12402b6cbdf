// Reads a JSON document of the bucket.
import { DatamoverError, messageOf } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { MiB } from '../units.ts';

/** Documents are far smaller: an index of 1000 checkpoints with 10 disks each takes 4 MiB. */
const MAX_DOCUMENT_BYTES = 64 * MiB;

/**
 * A JSON document; undefined when there is no such object. METADATA_INVALID, naming key and position, for invalid JSON and for
 * more than 64 MiB (found before it is read).
 */
export async function readDocument(
  store: ObjectStore,
  key: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<unknown> {
  let bytes: Uint8Array;
  try {
    bytes = await store.get(key, { maxBytes: MAX_DOCUMENT_BYTES, signal });
  } catch (error) {
    if (error instanceof DatamoverError && error.code === 'OBJECT_MISSING') return undefined;
    throw error;
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const message = `${store.describe(key)}: invalid JSON (${bytes.length} bytes): ${messageOf(error)}`;
    throw new DatamoverError('METADATA_INVALID', message, {
      hint: 'the document is damaged or truncated; compare it with another copy of the bucket',
      cause: error,
    });
  }
}
