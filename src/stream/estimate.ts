// What a stream would fetch, without fetching it: the tables are read, and the map is cut into the pieces of a run.

import type { CheckedChain } from '../chain/check-layers.ts';
import type { Examined } from '../chain/examine.ts';
import { addEstimates, type FetchEstimate } from '../chain/fetch-estimate.ts';
import { mapImage } from '../qemu/map.ts';
import type { ObjectStore } from '../store/store.ts';
import { canCarry } from './copy/can-carry.ts';
import { pieceSizeOf } from './copy/carry.ts';
import { readExtents } from './copy/extents.ts';
import { planPieces } from './copy/pieces.ts';
import { examineChain } from './examine-chain.ts';
import { BLOCK_SIZE } from './fetch/block-cache.ts';
import { type ServedChain, withServedChain } from './served-chain.ts';

export interface EstimateOptions {
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
  /** A small folder of ours, for the socket. */
  readonly folder: string;
  readonly concurrency: number;
  /** Bytes of the window that the stream would have. */
  readonly window: number;
  /** Bytes of the target's logical block. */
  readonly sectorSize: number;
  /** Whether qemu writes the target, as in `StreamOptions`. */
  readonly throughQemu: boolean;
  readonly signal: AbortSignal;
}

/**
 * Bytes: tables, and all that the disk shows with the gaps that are fetched along with it. Of a chain that goes through qemu
 * an estimate: as much of each object as the part of its clusters that the disk shows. Requests: those for data; the ones for
 * tables are sent here as they will be sent by the run. Examines the layers on the way; rejects as `examineChain` and
 * `readExtents`.
 */
export async function estimateFetch(options: EstimateOptions): Promise<FetchEstimate> {
  let tables = 0;
  const onFetched = (count: number): void => {
    tables += count;
  };
  return await withServedChain({ ...options, onFetched }, async (served) => {
    const examined = await examineChain(served);
    const carried = !options.throughQemu && canCarry(served.layers, examined, options);
    const data = carried ? await countPieces(served, options) : await countShown(served, examined);
    return addEstimates([{ bytes: tables, requests: 0 }, data]);
  });
}

async function countPieces(
  { node, layers, signal }: ServedChain,
  { chain, window, concurrency }: EstimateOptions,
): Promise<FetchEstimate> {
  // Whether a piece ends in padding changes nothing of what is fetched.
  const extents = readExtents({ runs: mapImage({ source: node, signal }), layers, size: chain.virtualSize, unit: 512 });
  let bytes = 0;
  let requests = 0;
  for await (const { pieces } of planPieces(extents, { pieceSize: pieceSizeOf({ window, concurrency }) })) {
    for (const { start, end } of pieces) bytes += end - start;
    requests += pieces.length;
  }
  return { bytes, requests };
}

async function countShown(
  { node, layers, signal }: ServedChain,
  examined: readonly Examined[],
): Promise<FetchEstimate> {
  const shown = layers.map(() => 0);
  for await (const { data, depth, length } of mapImage({ source: node, signal })) {
    const index = layers.length - 1 - depth;
    if (data && shown[index] !== undefined) shown[index] += length;
  }
  return addEstimates(
    layers.map(({ size, header }, index) => {
      const stored = (examined[index]?.allocatedClusters ?? 0) * header.clusterSize;
      const part = stored === 0 ? 1 : Math.min(1, (shown[index] ?? 0) / stored);
      const bytes = Math.round(size * part);
      return { bytes, requests: Math.ceil(bytes / BLOCK_SIZE) };
    }),
  );
}
