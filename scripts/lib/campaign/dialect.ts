// How the store speaks in a run: RGW itself, or RGW behind the peer as another store or proxy would have it.
import { type Dialect, OTHER_DIALECTS, PINNED_DIALECTS } from '../../../test/helpers/peer-dialect.ts';

const DIALECTS: Readonly<Record<string, Dialect>> = { ...PINNED_DIALECTS, ...OTHER_DIALECTS };

export const DIALECT_NAMES = Object.keys(DIALECTS);

/** `none` is the server's own. */
export function dialectNamed(name: string): Dialect {
  return DIALECTS[name] ?? {};
}
