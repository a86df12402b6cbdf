// What a stream would fetch, without fetching it: the layers' tables are read, and the forecast is cut into pieces.

import type { CheckedChain } from '../chain/check-layers.ts';
import type { ObjectStore } from '../store/store.ts';
import { examineChain } from './examine-chain.ts';
import { withServedChain } from './served-chain.ts';
import { FetchPlan } from './window/fetch-plan.ts';
import { forecast } from './window/forecast.ts';
import { planFor } from './window/window.ts';

export interface EstimateOptions {
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
  /** A small folder of ours, for the socket. */
  readonly folder: string;
  readonly concurrency: number;
  /** Bytes of the window that the stream would have. */
  readonly window: number;
  readonly signal: AbortSignal;
}

/**
 * Bytes: tables, and all that the disk shows with the gaps that are fetched along with it. Examines the layers on the way;
 * rejects as `examineChain`.
 */
export async function estimateFetch({ window, ...options }: EstimateOptions): Promise<number> {
  const { chain, signal } = options;
  let tables = 0;
  const onFetched = (count: number): void => {
    tables += count;
  };
  return await withServedChain({ ...options, onFetched }, async (served) => {
    await examineChain(served);
    const plan = new FetchPlan(planFor(window));
    let pieces = 0;
    const cutRipe = (): void => {
      for (let cut = plan.cutNext(false); cut !== undefined; cut = plan.cutNext(false)) {
        for (const { start, end } of cut) pieces += end - start;
      }
    };
    for await (const visible of forecast({ ...served, range: { offset: 0, length: chain.virtualSize }, signal })) {
      for (const range of plan.split(visible)) {
        plan.add(range);
        cutRipe();
      }
    }
    plan.complete();
    cutRipe();
    return tables + pieces;
  });
}
