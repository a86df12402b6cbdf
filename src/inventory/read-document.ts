// Reads a JSON document of the bucket.
import { DatamoverError, messageOf } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { MiB } from '../units.ts';

/** Documents are far smaller: an index of 1000 checkpoints with 10 disks each takes 4 MiB. */
const MAX_DOCUMENT_BYTES = 64 * MiB;

/** Readings of one document, if it differs each time. */
const MAX_READINGS = 4;

/**
 * A JSON document; undefined when there is no such object. METADATA_INVALID, naming key and position, for invalid JSON and for
 * more than 64 MiB (found before it is read). A body without a length may have been cut on its way and look complete, so what is
 * invalid is read again; SOURCE_UNREACHABLE when it never comes twice as the same.
 */
export async function readDocument(
  store: ObjectStore,
  key: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<unknown> {
  let before: Uint8Array | undefined;
  for (let reading = 1; ; reading += 1) {
    const bytes = await getBytes(store, key, signal);
    if (bytes === undefined) return undefined;
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      const what = `${store.describe(key)}: invalid JSON (${bytes.length} bytes): ${messageOf(error)}`;
      if (before !== undefined && Buffer.from(before).equals(bytes)) throw damaged(what, error);
      if (reading === MAX_READINGS) throw unsteady(what, reading, error);
      before = bytes;
    }
  }
}

async function getBytes(store: ObjectStore, key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await store.get(key, { maxBytes: MAX_DOCUMENT_BYTES, signal });
  } catch (error) {
    if (error instanceof DatamoverError && error.code === 'OBJECT_MISSING') return undefined;
    throw error;
  }
}

function damaged(message: string, cause: unknown): DatamoverError {
  return new DatamoverError('METADATA_INVALID', message, {
    hint: 'the document is damaged or truncated; compare it with another copy of the bucket',
    cause,
  });
}

function unsteady(message: string, readings: number, cause: unknown): DatamoverError {
  return new DatamoverError('SOURCE_UNREACHABLE', `${message}; read ${readings} times, different each time`, {
    hint: 'check the network and any proxy between this machine and the server, then run the same command again',
    cause,
  });
}
