// How the store speaks in a run: RGW itself, or RGW behind the peer as another store or proxy would have it.
import { type Dialect, OTHER_DIALECTS, PINNED_DIALECTS } from '../../../test/helpers/peer-dialect.ts';

const DIALECTS: Readonly<Record<string, Dialect>> = { ...PINNED_DIALECTS, ...OTHER_DIALECTS };

export const DIALECT_NAMES = Object.keys(DIALECTS);

/** `none` is the server's own. */
export function dialectNamed(name: string): Dialect {
  return DIALECTS[name] ?? {};
}

/** Rows of a table: what a dialect changes, in a few words. */
export function dialectGroup(name: string): string {
  return GROUPS.find(([, pattern]) => pattern.test(name))?.[0] ?? name;
}

const GROUPS: readonly (readonly [string, RegExp])[] = [
  ['as Ceph RGW', /^none$/],
  ['a gateway with most of this', /^a gateway/],
  ['HEAD without ETag or length', /HEAD/],
  ['weak, bare or missing ETags', /ETag/],
  ['If-Match ignored or refused', /^If-Match/],
  ['listings of version 1, without tokens, encoded', /List|encoded|Delimiter/],
  ['other answers: 200 for a range, chunks, times, versions', /./],
];
