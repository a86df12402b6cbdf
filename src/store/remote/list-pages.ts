// Listings of a bucket or container in pages of XML, each page named by the one before.

import type { Receiver } from '../http/exchange.ts';
import { isKey } from '../key.ts';
import { HighWater } from '../retry/high-water.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import type { ListEntry } from '../store.ts';
import { DocumentSink } from './document.ts';
import { unusableAnswer } from './unusable-answer.ts';

export interface ListPage {
  /** Complete names, as the bucket has them. */
  readonly prefixes: readonly string[];
  readonly objects: readonly { readonly name: string; readonly size: number }[];
  /** Where the next page starts; undefined after the last one. */
  readonly next: string | undefined;
}

export interface ListSession {
  /** The source's, '' or ending in '/'. */
  readonly prefix: string;
  describe(key: string): string;
  /** One page of the entries right under `prefix`, a key with its '/' or ''; its XML goes into the receiver's sink. */
  list(prefix: string, from: string | undefined, receiver: Receiver, signal: AbortSignal): Promise<void>;
}

/** Reads a page; throws a `TransientError` for anything but a listing of names under `prefix`. */
export type ParsePage = (document: string, prefix: string) => ListPage;

/** Entries of one page: parsed in some 20 ms, during which nothing else runs. */
export const PAGE_ENTRIES = 1000;

/** A thousand entries take some 1.5 MiB; names may have 1,024 characters, each encoded in up to 12. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

/** As `ObjectStore.list`; the prefix is checked. Each page is retried by itself. */
export async function* listPages(
  session: ListSession,
  { prefix, parse }: { readonly prefix: string; readonly parse: ParsePage },
  context: RetryContext,
): AsyncGenerator<ListEntry, void, undefined> {
  const seen = new Set<string>();
  for (let from: string | undefined, first = true; first || from !== undefined; first = false) {
    const page: ListPage = await listPage(session, { prefix, parse, from, seen }, context);
    yield* entriesOf(page, session.prefix);
    if (page.next !== undefined) seen.add(page.next);
    from = page.next;
  }
}

interface PageRequest {
  readonly prefix: string;
  readonly parse: ParsePage;
  readonly from: string | undefined;
  readonly seen: ReadonlySet<string>;
}

async function listPage(session: ListSession, request: PageRequest, context: RetryContext): Promise<ListPage> {
  const { prefix, parse, from, seen } = request;
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
    await session.list(prefix, from, receiver, attempt.signal);
    const page = parse(Buffer.from(sink.bytes()).toString('utf8'), session.prefix + prefix);
    if (page.next !== undefined && seen.has(page.next)) {
      throw unusableAnswer('the server restarted a listing in the middle');
    }
    return page;
  });
}

/** The entries of a page; names that no method of a store would take (a directory's marker, `a//b`) are left out. */
function* entriesOf({ prefixes, objects }: ListPage, before: string): Generator<ListEntry> {
  for (const full of prefixes) {
    const key = full.slice(before.length);
    if (isKey(key.replace(/\/$/, ''))) yield { kind: 'prefix', key };
  }
  for (const { name, size } of objects) {
    const key = name.slice(before.length);
    if (isKey(key)) yield { kind: 'object', key, size };
  }
}

/** Throws a `TransientError` where an entry is not under `prefix`. */
export function checkNames({ prefixes, objects }: ListPage, prefix: string): void {
  const names = [...prefixes, ...objects.map(({ name }) => name)];
  if (!names.every((name) => name.startsWith(prefix))) throw unusableAnswer('the server listed keys of another prefix');
}

/** The size of an entry as its XML writes it. */
export function parseSize(text: string | undefined): number {
  const size = /^\d{1,16}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw unusableAnswer('the server listed an object without a size');
  return size;
}
