// What the answers of Google Cloud Storage say of an object in headers of their own. Pure.
import { getFips } from 'node:crypto';
import { DatamoverError } from '../../errors.ts';
import type { ObjectChecksum } from '../store.ts';

type Headers = Readonly<Record<string, string>>;

/** Bytes of each, so that a damaged one is not compared. */
const LENGTHS = { crc32c: 4, md5: 16 } as const;

/** The checksums of the complete object (`x-goog-hash`), whichever range was requested. A composite object has no MD5. */
export function checksumsOf(headers: Headers): ObjectChecksum[] {
  const parts = (headers['x-goog-hash'] ?? '').split(',').map((part) => part.trim());
  return (['crc32c', 'md5'] as const).flatMap((algorithm) => {
    // OpenSSL in FIPS mode does not compute it.
    if (algorithm === 'md5' && getFips() !== 0) return [];
    const text = parts.find((part) => part.startsWith(`${algorithm}=`))?.slice(algorithm.length + 1) ?? '';
    const bytes = /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
    return bytes.length === LENGTHS[algorithm] ? [{ algorithm, hex: bytes.toString('hex') }] : [];
  });
}

/**
 * Throws SOURCE_UNREACHABLE for an object that is stored with a Content-Encoding: the service decompresses it on the way, ignores ranges
 * of it, and names the size and checksums of other bytes than it sends.
 */
export function refuseTranscoding(headers: Headers, where: string): void {
  const stored = headers['x-goog-stored-content-encoding'];
  if (stored === undefined || stored === 'identity' || stored === '') return;
  throw new DatamoverError('SOURCE_UNREACHABLE', `${where}: stored with Content-Encoding: ${stored.slice(0, 32)}`, {
    hint: 'copy the object without compression (gcloud storage cp without --gzip-local); if its bytes are not compressed, run `gcloud storage objects update --clear-content-encoding gs://…`',
  });
}
