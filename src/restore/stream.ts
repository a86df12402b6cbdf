import type { CheckedChain } from './check-layers.ts';
import type { Guest } from './guest.ts';
import type { Run } from './run.ts';
import type { Tally } from './tally.ts';

export interface StreamOptions {
  readonly chain: CheckedChain;
  /** A small folder of ours, for the socket. */
  readonly folder: string;
  readonly tally: Tally;
}

export async function withStreamedGuest<T>(
  _run: Run,
  _options: StreamOptions,
  _work: (guest: Guest) => Promise<T>,
): Promise<T> {
  throw new TypeError('not built yet');
}
