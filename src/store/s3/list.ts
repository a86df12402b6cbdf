// Listings of a bucket, a page at a time.
import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { isKey } from '../key.ts';
import { HighWater } from '../retry/high-water.ts';
import { TransientError } from '../retry/policy.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import type { ListEntry } from '../store.ts';
import type { S3Session } from './session.ts';

/** As `ObjectStore.list`; the prefix is checked. Each page is retried by itself. */
export async function* listObjects(
  session: S3Session,
  prefix: string,
  context: RetryContext,
): AsyncGenerator<ListEntry, void, undefined> {
  const seen = new Set<string>();
  let token: string | undefined;
  do {
    const page = await listPage(session, { prefix, token, seen }, context);
    yield* entriesOf(page, session.prefix, prefix);
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    if (token !== undefined) seen.add(token);
  } while (token !== undefined);
}

async function listPage(
  session: S3Session,
  { prefix, token, seen }: { prefix: string; token: string | undefined; seen: ReadonlySet<string> },
  context: RetryContext,
): Promise<ListObjectsV2CommandOutput> {
  const what = `listing ${session.describe(prefix)}`;
  const highWater = new HighWater();
  return await withRetries({ key: prefix, what }, context, async (attempt) => {
    const { keys } = session;
    try {
      const page = await session.list(prefix, { token }, { attempt, onBytes: highWater.over(attempt) });
      checkPage(page, seen);
      return page;
    } catch (error) {
      throw await session.sorted(error, { key: prefix, keys, signal: attempt.signal });
    }
  });
}

/** A web page with status 200 is read as an empty listing by the SDK. */
function checkPage(page: ListObjectsV2CommandOutput, seen: ReadonlySet<string>): void {
  if (page.Name === undefined && page.KeyCount === undefined && page.IsTruncated === undefined) {
    throw new TransientError('the server sent something else than a listing', { unlikely: true });
  }
  if (page.IsTruncated === true && page.NextContinuationToken === undefined) {
    throw new TransientError('the server cut a listing short', { unlikely: true });
  }
  if (page.NextContinuationToken !== undefined && seen.has(page.NextContinuationToken)) {
    throw new TransientError('the server began a listing anew in its middle', { unlikely: true });
  }
}

/** Keys without the source's prefix. What no method of a store would take (a folder's marker, `a//b`) is left out. */
function* entriesOf(page: ListObjectsV2CommandOutput, before: string, prefix: string): Generator<ListEntry> {
  for (const { Prefix } of page.CommonPrefixes ?? []) {
    const key = Prefix?.slice(before.length) ?? '';
    if (key.startsWith(prefix) && isKey(key.replace(/\/$/, ''))) yield { kind: 'prefix', key };
  }
  for (const { Key, Size } of page.Contents ?? []) {
    const key = Key?.slice(before.length) ?? '';
    if (key.startsWith(prefix) && isKey(key) && Size !== undefined) yield { kind: 'object', key, size: Size };
  }
}
