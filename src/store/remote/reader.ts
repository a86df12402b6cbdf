// What reads of pinned objects need of a store: one GET, of a range and under a condition where these are given.
import type { Receiver } from '../http/exchange.ts';
import type { IfMatch } from './if-match.ts';

export interface ObjectReader {
  /** What was found out about the store's handling of If-Match. */
  readonly ifMatch: IfMatch;
  /** What to check when the answer is not an object of this kind of store. */
  readonly wrongServerHint: string;
  describe(key: string): string;
  /**
   * A GET whose body goes into the receiver's sink. Throws DatamoverErrors, TransientErrors, and a `ConditionRefused` where `ifMatch` may
   * be the cause; what the receiver or its sink threw is thrown as it is.
   */
  get(
    key: string,
    options: { readonly range?: string; readonly ifMatch?: string | undefined },
    receiver: Receiver,
    signal: AbortSignal,
  ): Promise<void>;
}
