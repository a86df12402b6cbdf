// `verify`: is what a plan names all there and sound? Reads the source alone; no target is looked at.

import { withSourceAnswer } from '../chain/ask-source.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import { DatamoverError, toDatamoverError } from '../errors.ts';
import { secondsSince } from '../progress.ts';
import type { VerifyResult } from '../result.ts';
import { withSpaceDetails } from '../scratch/space-details.ts';
import { checkReading } from './check-reading.ts';
import type { LayerFindings, VerifyOptions } from './options.ts';
import { verifyData } from './read-staged.ts';
import { Verdicts } from './verdicts.ts';
import { checkVerifyPaths } from './verify-paths.ts';

/** Foreseen failures do not reject: they are in the document, each with its PVC where it concerns one. */
export async function verifyPlan(options: VerifyOptions): Promise<VerifyResult> {
  const began = performance.now();
  const verdicts = new Verdicts(options);
  try {
    await verifyAll(options, verdicts);
    return verdicts.document(secondsSince(began));
  } catch (error) {
    return verdicts.document(secondsSince(began), toDatamoverError(error, options.signal));
  }
}

async function verifyAll(options: VerifyOptions, verdicts: Verdicts): Promise<void> {
  const { problems: known = [], progress } = options;
  progress.report({ type: 'phase-started', phase: 'preflight' });
  const storeChecksums = options.data && options.checksums;
  await withSourceAnswer({ ...options, storeChecksums }, async ({ store, disks, chains, problems }) => {
    const conflicts = await checkVerifyPaths(options);
    verdicts.checked(disks, chains, [...known, ...problems, ...conflicts]);
    if (!options.data) return;
    const need = await checkReading(options, chains);
    if (store === undefined || known.length > 0 || conflicts.length > 0) return;
    const read = new Map<string, LayerFindings>();
    for (const chain of chains) {
      const known = (index: number): LayerFindings | undefined => read.get(versionOf(chain, index));
      const onLayer = (index: number, found: LayerFindings): void => {
        read.set(versionOf(chain, index), found);
        verdicts.read(chain, index, found);
      };
      const all = chain.layers.map((_, index) => known(index));
      if (all.every((found) => found !== undefined)) for (const [index, found] of all.entries()) onLayer(index, found);
      else {
        await verifyData({ options, store, chain, known, onLayer }).catch(async (error: unknown) => {
          if (need === undefined || !(error instanceof DatamoverError)) throw error;
          throw await withSpaceDetails(error, { needs: [need], folder: need.path });
        });
      }
      verdicts.readThrough(chain);
    }
  });
}

/** One object under one declared checksum: what was found of it holds for every chain. */
function versionOf({ layers }: CheckedChain, index: number): string {
  const { info, layer } = layers[index] ?? {};
  return JSON.stringify([info?.key, info?.etag, layer?.sha256]);
}
