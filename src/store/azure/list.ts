// Listings of a container, a page at a time.
import { DocumentSink } from '../remote/document.ts';
import { unusableAnswer } from '../remote/unusable-answer.ts';
import { HighWater } from '../retry/high-water.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import type { ListEntry } from '../store.ts';
import { entriesOf, type ListPage, parseListPage } from './list-page.ts';
import type { AzureSession } from './session.ts';

/** A thousand entries take some 1.5 MiB; names may have 1,024 characters, each encoded in up to 12. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

/** As `ObjectStore.list`; the prefix is checked. Each page is retried by itself. */
export async function* listBlobs(
  session: AzureSession,
  prefix: string,
  context: RetryContext,
): AsyncGenerator<ListEntry, void, undefined> {
  const seen = new Set<string>();
  for (let marker: string | undefined, first = true; first || marker !== undefined; first = false) {
    const page: ListPage = await listPage(session, { prefix, marker, seen }, context);
    yield* entriesOf(page, session.prefix);
    if (page.marker !== undefined) seen.add(page.marker);
    marker = page.marker;
  }
}

async function listPage(
  session: AzureSession,
  {
    prefix,
    marker,
    seen,
  }: { readonly prefix: string; readonly marker: string | undefined; readonly seen: Set<string> },
  context: RetryContext,
): Promise<ListPage> {
  const where = session.describe(prefix);
  const highWater = new HighWater();
  return await withRetries({ key: prefix, what: `listing ${where}` }, context, async (attempt) => {
    const sink = new DocumentSink(where, { maxBytes: MAX_PAGE_BYTES, attempt, highWater });
    const receiver = {
      onHead: ({ status }: { readonly status: number }) => {
        attempt.answered();
        return status >= 200 && status < 300 ? sink : undefined;
      },
    };
    await session.list(prefix, marker, receiver, attempt.signal);
    const page = parseListPage(Buffer.from(sink.bytes()).toString('utf8'), session.prefix + prefix);
    if (page.marker !== undefined && seen.has(page.marker)) {
      throw unusableAnswer('the server restarted a listing in the middle');
    }
    return page;
  });
}
