// `--dry-run`: the whole check, and what a run would do; nothing is made, claimed or written.
import { randomUUID } from 'node:crypto';
import { toDatamoverError } from '../errors.ts';
import { planId } from '../plan/identity.ts';
import type { Target } from '../target/target.ts';
import { type Checked, type CheckRun, checkAll } from './check.ts';
import type { RestoreOptions } from './options.ts';
import { Outcomes } from './outcomes.ts';
import { resolveDisks } from './resolve.ts';
import type { DryRunResult } from './result.ts';
import { secondsSince } from './run.ts';
import { chooseRoot, withRuntimeFolder } from './runtime-folder.ts';
import { withSource } from './source.ts';
import { estimateFetch } from './stream/estimate.ts';
import { DEFAULT_WINDOW, STREAM_CONCURRENCY } from './stream.ts';
import { startTally } from './tally.ts';

/** As `restore`, up to the first step that would write anything: every PVC is `skipped`, or `failed` with its problems. */
export async function dryRun(options: RestoreOptions): Promise<DryRunResult> {
  const began = performance.now();
  const outcomes = new Outcomes(options);
  try {
    const checked = await checkOnly(options, outcomes);
    return { ...outcomes.document(secondsSince(began)), dryRun: checked };
  } catch (error) {
    return { ...outcomes.document(secondsSince(began), toDatamoverError(error, options.signal)), dryRun: null };
  }
}

async function checkOnly(options: RestoreOptions, outcomes: Outcomes): Promise<DryRunResult['dryRun']> {
  const { plan, pvcs, signal, strategy, progress } = options;
  const root = await chooseRoot(options);
  progress.report({ type: 'phase-started', phase: 'check' });
  return await withSource(options, async (store) => {
    const { disks, problems } = await resolveDisks(plan, store, { pvcs, targetsUsed: true, signal });
    outcomes.resolved(disks);
    const targets: Target[] = [];
    try {
      const run = { options, store, planId: planId(plan), runId: randomUUID(), signal };
      const scratch = strategy === 'stream' ? undefined : root;
      const checked = await checkAll(run, { disks, problems, targets, scratch });
      for (const { chain } of checked.disks) {
        outcomes.ended({ disk: chain.disk, chain, state: 'skipped', strategy, tally: startTally(chain) });
      }
      const { scratchNeeded, scratchFree } = checked;
      const bytesToDownload = await bytesToFetch(run, checked);
      return { bytesToDownload, scratchNeeded, scratchFree: scratchFree ?? null };
    } finally {
      for (const target of targets) await target.close();
    }
  });
}

/** The layers' sizes; of a stream, what it will fetch of them, which costs a look at all tables. */
async function bytesToFetch({ options, store, signal }: CheckRun, { disks }: Checked): Promise<number> {
  if (options.strategy !== 'stream') {
    const sizes = disks.flatMap(({ chain }) => chain.layers.map(({ info }) => info.size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
  const { concurrency = STREAM_CONCURRENCY, window = DEFAULT_WINDOW } = options;
  let bytes = 0;
  for (const { chain } of disks) {
    bytes += await withRuntimeFolder(options, async (folder) => {
      return await estimateFetch({ store, chain, folder, concurrency, window, signal });
    });
  }
  return bytes;
}
