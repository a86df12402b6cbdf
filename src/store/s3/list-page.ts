// A page of a listing in either version of the API, and where the next one starts. Pure.
import type { ListObjectsCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { isKey } from '../key.ts';
import { unusableAnswer } from '../remote/unusable-answer.ts';
import type { ListEntry } from '../store.ts';

/** Where a page starts: at a token of ListObjectsV2, after a key (ListObjects' marker), else at the beginning. */
export interface ListPosition {
  readonly token?: string;
  readonly after?: string;
}

export interface ListPage {
  readonly truncated: boolean;
  readonly token: string | undefined;
  readonly marker: string | undefined;
  /** Complete keys, as the bucket has them. */
  readonly prefixes: readonly string[];
  readonly objects: readonly { readonly key: string; readonly size: number }[];
}

type Output = Pick<ListObjectsCommandOutput, 'NextMarker'> & Omit<ListObjectsV2CommandOutput, '$metadata'>;

/**
 * Throws a `TransientError` for anything but a listing of keys under `prefix`: the SDK reads a web page with status 200 as an empty one.
 */
export function toPage(output: Output, prefix: string): ListPage {
  if (output.Name === undefined && output.KeyCount === undefined && output.IsTruncated === undefined) {
    throw unusableAnswer('the server sent something other than a listing');
  }
  // Some servers encode keys unasked; asked, a server that cannot encode might refuse.
  const decode = output.EncodingType?.toLowerCase() === 'url' ? decodeKey : (key: string) => key;
  const page = {
    truncated: output.IsTruncated === true,
    token: output.NextContinuationToken,
    marker: output.NextMarker === undefined ? undefined : decode(output.NextMarker),
    prefixes: (output.CommonPrefixes ?? []).flatMap(({ Prefix }) => (Prefix === undefined ? [] : [decode(Prefix)])),
    objects: (output.Contents ?? []).flatMap(({ Key, Size }) => {
      if (Key === undefined || Size === undefined) return [];
      if (!Number.isSafeInteger(Size) || Size < 0) throw unusableAnswer('the server listed an object without a size');
      return [{ key: decode(Key), size: Size }];
    }),
  };
  const names = [...page.prefixes, ...page.objects.map(({ key }) => key)];
  if (!names.every((name) => name.startsWith(prefix))) throw unusableAnswer('the server listed keys of another prefix');
  return page;
}

/**
 * Where the page after `page` starts; undefined after the last one. A page that is truncated and names no token is of a server that
 * does not know ListObjectsV2: the next one is asked for as ListObjects does it. Throws a `TransientError` where a server would
 * repeat itself. `seen` holds the tokens of the pages before.
 */
export function nextPosition(page: ListPage, from: ListPosition, seen: ReadonlySet<string>): ListPosition | undefined {
  if (!page.truncated) return undefined;
  const { token } = page;
  if (token !== undefined) {
    if (seen.has(token)) throw unusableAnswer('the server restarted a listing in the middle');
    return { token };
  }
  const after = page.marker || greatest([...page.prefixes, ...page.objects.map(({ key }) => key)]);
  if (after === undefined) throw unusableAnswer('the server truncated a listing');
  if (from.after !== undefined && compareKeys(after, from.after) <= 0) {
    throw unusableAnswer('the server restarted a listing in the middle');
  }
  return { after };
}

/**
 * Returns the entries right under `prefix`, which is below `before`. Keys that no method of a store would take (a folder's marker, `a//b`) are
 * left out; where the server did not group keys by their next '/', that is done here.
 */
export function* entriesOf(page: ListPage, before: string, prefix: string): Generator<ListEntry> {
  for (const full of page.prefixes) {
    const key = full.slice(before.length);
    if (isKey(key.replace(/\/$/, ''))) yield { kind: 'prefix', key };
  }
  for (const { key: full, size } of page.objects) {
    const key = full.slice(before.length);
    if (!isKey(key)) continue;
    const slash = key.indexOf('/', prefix.length);
    if (slash === -1) yield { kind: 'object', key, size };
    else yield { kind: 'prefix', key: key.slice(0, slash + 1) };
  }
}

/** In the order of S3: by UTF-8 bytes. */
function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function greatest(keys: readonly string[]): string | undefined {
  return keys.reduce<string | undefined>((a, b) => (a === undefined || compareKeys(b, a) > 0 ? b : a), undefined);
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    throw unusableAnswer('the server sent a malformed key in a listing');
  }
}
