// The SHA-256 of each layer in a drafted plan, where it is asked for.
import type { CheckedChain, CheckedLayer } from '../chain/check-layers.ts';

/** Reads the layers, and gives the SHA-256 of each by its object key. */
export type TakeChecksums = (chains: readonly CheckedChain[]) => Promise<ReadonlyMap<string, string>>;

/** The chains with the checksums that `take` gives; as they are without it. Rejects as `take`. */
export async function withChecksums(
  chains: readonly CheckedChain[],
  take: TakeChecksums | undefined,
): Promise<readonly CheckedChain[]> {
  if (take === undefined) return chains;
  const found = await take(chains);
  const add = (checked: CheckedLayer): CheckedLayer => {
    const sha256 = found.get(checked.layer.object);
    return sha256 === undefined ? checked : { ...checked, layer: { ...checked.layer, sha256 } };
  };
  return chains.map((chain) => {
    const [base, ...rest] = chain.layers;
    return { ...chain, layers: [add(base), ...rest.map(add)] };
  });
}
