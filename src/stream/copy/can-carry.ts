// Whether the copy engine can restore a chain, decided before the first write.
import type { Examined } from '../../chain/examine.ts';
import { subclusterSize } from '../../qcow2/tables.ts';
import { KiB } from '../../units.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';

/** Smaller (sub)clusters are too many pieces, and O_DIRECT may refuse them. */
const MIN_CLUSTER = 4 * KiB;

/**
 * False for what the map cannot place: compressed clusters, of which it does not say where they are stored; dirty layers, which were not
 * checked for them; clusters smaller than the target writes. `examined` is in the order of `layers`.
 */
export function canCarry(
  layers: readonly Pick<RemoteLayer, 'header'>[],
  examined: readonly Examined[],
  { sectorSize }: { readonly sectorSize: number },
): boolean {
  return layers.every(({ header: { clusterBits, features } }, index) => {
    const smallest = subclusterSize({ clusterBits, extendedL2: features.extendedL2 });
    return examined[index]?.compressedClusters === 0 && smallest >= Math.max(MIN_CLUSTER, sectorSize);
  });
}
