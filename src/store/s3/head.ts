// What an object is: HEAD, and where HEAD hides its cause, a GET or a listing that tells it.
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import type { Attempt } from '../retry/attempt.ts';
import { TransientError } from '../retry/policy.ts';
import type { ObjectInfo } from '../store.ts';
import { fullChecksums } from './checksums.ts';
import { missingBucket, missingObject, nameOf, statusOf } from './errors.ts';
import type { S3Session } from './session.ts';

/** One attempt of `ObjectStore.head`. */
export async function headObject(session: S3Session, key: string, attempt: Attempt): Promise<ObjectInfo> {
  const { keys } = session;
  try {
    return infoOf(key, await session.head(key, attempt));
  } catch (error) {
    const status = statusOf(error);
    if (status === 404) throw await missing(session, key, attempt);
    const sorted = await session.sorted(error, { key, keys, signal: attempt.signal });
    if (status === undefined || status < 300 || sorted instanceof TransientError) throw sorted;
    // HEAD answers have no body: only another request gets to know why. It may even succeed, where HEAD alone is forbidden.
    return await headByGet(session, key, attempt);
  }
}

function infoOf(key: string, answer: HeadObjectCommandOutput): ObjectInfo {
  const { ContentLength: size, ETag: etag } = answer;
  if (size === undefined || !Number.isSafeInteger(size) || size < 0 || etag === undefined || etag === '') {
    throw new TransientError('the server named no size or no ETag', { unlikely: true });
  }
  return { key, size, etag, checksums: fullChecksums(answer) };
}

async function headByGet(session: S3Session, key: string, attempt: Attempt): Promise<ObjectInfo> {
  let info: ObjectInfo | undefined;
  const memory = new Uint8Array(1);
  const receiver = {
    onHead: ({ status, headers }: { status: number; headers: Readonly<Record<string, string>> }) => {
      attempt.answered();
      if (status < 200 || status > 299) return undefined;
      const total = /^bytes 0-0\/(\d{1,15})$/.exec(headers['content-range'] ?? '')?.[1];
      if (status !== 206 || total === undefined || headers.etag === undefined) {
        throw new TransientError('the server refused HEAD and ignored Range', { unlikely: true });
      }
      info = { key, size: Number(total), etag: headers.etag, checksums: [] };
      return { room: () => memory, filled: () => {} };
    },
  };
  await session.get(key, { range: 'bytes=0-0' }, receiver, attempt.signal);
  if (info === undefined) throw new TransientError('the server sent no object', { unlikely: true });
  return info;
}

/** A bucket that is not there gives 404 too. */
async function missing(session: S3Session, key: string, attempt: Attempt): Promise<Error> {
  const context = session.context(key);
  try {
    await session.list('', { limit: 1 }, { attempt, onBytes: () => {} });
  } catch (error) {
    attempt.signal.throwIfAborted();
    if (nameOf(error) === 'NoSuchBucket') return missingBucket(context);
    const { keys } = session;
    const sorted = await session.sorted(error, { key, keys, signal: attempt.signal });
    // It is not S3 that answered.
    if (statusOf(error) === 404 && sorted instanceof TransientError) return sorted;
    // Listing may be forbidden or fail: that the object is missing has been answered all the same.
  }
  return missingObject(context);
}
