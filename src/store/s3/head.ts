// What an object is: HEAD, and where HEAD hides the cause of its failure or leaves out what is needed, a GET or a listing.
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { probeObject } from '../remote/first-byte.ts';
import { missingObject } from '../remote/object-errors.ts';
import { formatPin, pinOf } from '../remote/pin.ts';
import { isPlain } from '../remote/range-answer.ts';
import type { Attempt } from '../retry/attempt.ts';
import { TransientError } from '../retry/policy.ts';
import type { ObjectInfo } from '../store.ts';
import { fullChecksums } from './checksums.ts';
import { errorName, missingBucket, statusOf } from './errors.ts';
import type { S3Session } from './session.ts';

/** One attempt of `ObjectStore.head`. */
export async function headObject(session: S3Session, key: string, attempt: Attempt): Promise<ObjectInfo> {
  const { keys } = session;
  let answer: HeadObjectCommandOutput;
  try {
    answer = await session.head(key, attempt);
  } catch (error) {
    const status = statusOf(error);
    if (status === 404) throw await missingObjectError(session, key, attempt);
    const sorted = await session.sorted(error, { key, keys, signal: attempt.signal });
    if (status === undefined || status < 300 || sorted instanceof TransientError) throw sorted;
    // HEAD answers have no body: only another request gets to know why. It may even succeed, where HEAD alone is forbidden.
    const { size, pin } = await probeObject(session, key, attempt);
    return { key, size, etag: formatPin(pin), checksums: [] };
  }
  return await completed(session, key, { answer, attempt });
}

/**
 * Proxies leave out Content-Length, send 0 in its place or the length of an encoded body, and some servers name no ETag in HEAD: what
 * a GET says of it then holds, as every read is one.
 */
async function completed(
  session: S3Session,
  key: string,
  { answer, attempt }: { readonly answer: HeadObjectCommandOutput; readonly attempt: Attempt },
): Promise<ObjectInfo> {
  const pin = pinOf({ etag: answer.ETag, lastModified: answer.LastModified, versionId: answer.VersionId });
  const size = isPlain(answer.ContentEncoding) ? (answer.ContentLength ?? 0) : 0;
  const checksums = fullChecksums(answer);
  if (Number.isSafeInteger(size) && size > 0 && pin?.tag !== undefined)
    return { key, size, etag: formatPin(pin), checksums };
  const probed = await probeObject(session, key, attempt);
  return { key, size: probed.size, etag: formatPin(probed.pin), checksums };
}

/** A bucket that is not there gives 404 too. */
async function missingObjectError(session: S3Session, key: string, attempt: Attempt): Promise<Error> {
  const context = session.context(key);
  try {
    await session.listing.page('', { limit: 1 }, { attempt, onBytes: () => {} });
  } catch (error) {
    attempt.signal.throwIfAborted();
    if (errorName(error) === 'NoSuchBucket') return missingBucket(context);
    const { keys } = session;
    const sorted = await session.sorted(error, { key, keys, signal: attempt.signal });
    // It is not S3 that answered.
    if (statusOf(error) === 404 && sorted instanceof TransientError) return sorted;
    // Listing may be forbidden or fail: that the object is missing has been answered all the same.
  }
  return missingObject(context);
}
