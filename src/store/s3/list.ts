// Listings of a bucket, a page at a time.
import { HighWater } from '../retry/high-water.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import type { ListEntry } from '../store.ts';
import { entriesOf, type ListPage, type ListPosition, nextPosition } from './list-page.ts';
import type { S3Session } from './session.ts';

/** As `ObjectStore.list`; the prefix is checked. Each page is retried by itself. */
export async function* listObjects(
  session: S3Session,
  prefix: string,
  context: RetryContext,
): AsyncGenerator<ListEntry, void, undefined> {
  const seen = new Set<string>();
  // A page that starts after a common prefix may name that prefix once more.
  const prefixes = new Set<string>();
  let from: ListPosition | undefined = {};
  while (from !== undefined) {
    const { page, next }: ListStep = await listPage(session, { prefix, from, seen }, context);
    for (const entry of entriesOf(page, session.prefix, prefix)) {
      if (entry.kind === 'prefix' && prefixes.has(entry.key)) continue;
      if (entry.kind === 'prefix') prefixes.add(entry.key);
      yield entry;
    }
    if (next?.token !== undefined) seen.add(next.token);
    from = next;
  }
}

interface ListStep {
  readonly page: ListPage;
  readonly next: ListPosition | undefined;
}

async function listPage(
  session: S3Session,
  { prefix, from, seen }: { readonly prefix: string; readonly from: ListPosition; readonly seen: ReadonlySet<string> },
  context: RetryContext,
): Promise<ListStep> {
  const what = `listing ${session.describe(prefix)}`;
  const highWater = new HighWater();
  return await withRetries({ key: prefix, what }, context, async (attempt) => {
    const { keys } = session;
    try {
      const page = await session.listing.page(prefix, { from }, { attempt, onBytes: highWater.over(attempt) });
      return { page, next: nextPosition(page, from, seen) };
    } catch (error) {
      throw await session.sorted(error, { key: prefix, keys, signal: attempt.signal });
    }
  });
}
