// `verify`: is what a plan names all there and sound? Reads the source alone; no target is looked at.

import { checkLayers } from '../chain/check-layers.ts';
import { resolveDisks } from '../chain/resolve.ts';
import { toDatamoverError } from '../errors.ts';
import { withSource } from '../inventory/open-source.ts';
import { recordReads } from '../paths/recorded-store.ts';
import { secondsSince } from '../progress.ts';
import type { VerifyResult } from '../result.ts';
import type { VerifyOptions } from './options.ts';
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
  const { plan, pvcs, signal, progress } = options;
  progress.report({ type: 'phase-started', phase: 'preflight' });
  await withSource({ ...options, source: plan.source }, async (source) => {
    const store = recordReads(source, plan.source, options.paths);
    const { disks, problems } = await resolveDisks(plan, store, { pvcs, signal });
    const { chains, problems: found } = await checkLayers(store, disks, { signal });
    const conflicts = await checkVerifyPaths(options);
    verdicts.checked(disks, chains, [...problems, ...found, ...conflicts]);
    if (!options.data || conflicts.length > 0) return;
    for (const chain of chains) {
      await verifyData({ options, store, chain, onLayer: (index, found) => verdicts.read(chain, index, found) });
      verdicts.readThrough(chain);
    }
  });
}
