// Every layer of a served chain, looked at where it lies before anything is written: its tables, and that it is not cut short.

import { type Examined, examineUnrepaired } from '../chain/examine.ts';
import { affordableTasks } from '../chain/handles.ts';
import { mapBounded } from '../concurrency.ts';
import { type CheckImage, withChecks } from '../qemu/check-many.ts';
import type { RemoteLayer } from './fetch/remote-layer.ts';
import type { ServedChain } from './served-chain.ts';

/** Children at a time: each waits for one table after the other, so that more of them cost little. */
const CHILDREN = 8;

/** All layers, base first. Rejects as `examineServed` for the first that is damaged. */
export async function examineChain(served: ServedChain): Promise<Examined[]> {
  const { layers, signal } = served;
  const limit = affordableTasks(CHILDREN);
  return await withChecks({ count: layers.length, limit, signal }, async (check) => {
    return await mapBounded(layers, { limit, signal }, (layer, inner) => examineServed(served, layer, inner, check));
  });
}

/** IMAGE_CORRUPT for damaged tables and for a layer that is cut short. */
export async function examineServed(
  { layerNode }: Pick<ServedChain, 'layerNode'>,
  layer: RemoteLayer,
  signal: AbortSignal,
  check?: CheckImage,
): Promise<Examined> {
  const { header, size, where } = layer;
  const read = ({ offset, length }: { offset: number; length: number }): Promise<Uint8Array> =>
    layer.bytes(offset, length, signal);
  return await examineUnrepaired({ image: layerNode(layer), header, fileSize: size, where, read, check, signal });
}
