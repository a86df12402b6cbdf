// How much data a disk holds, without fetching it: the most that a sparse copy of it occupies.
import { mapImage } from '../qemu/map.ts';
import { type ServeChainOptions, withServedChain } from './served-chain.ts';

/**
 * Bytes of the disk that some layer stores, compressed ones at their full size. A copy may occupy less: blanks that a layer
 * stores as data need no space in a sparse file. Reads the tables of the chain; rejects as `withServedChain` and `mapImage`.
 */
export async function shownBytes(options: Omit<ServeChainOptions, 'onFetched' | 'onError'>): Promise<number> {
  return await withServedChain({ ...options, onFetched: () => {} }, async ({ node, signal }) => {
    let bytes = 0;
    for await (const { data, length } of mapImage({ source: node, signal })) if (data) bytes += length;
    return bytes;
  });
}
