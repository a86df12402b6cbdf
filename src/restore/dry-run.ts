// `--dry-run`: the whole check, and what a run would do; nothing is made, claimed or written.
import { randomUUID } from 'node:crypto';
import { toDatamoverError } from '../errors.ts';
import { planId } from '../plan/identity.ts';
import type { Target } from '../target/target.ts';
import { type Checked, checkAll } from './check.ts';
import type { RestoreOptions } from './options.ts';
import { Outcomes } from './outcomes.ts';
import { resolveDisks } from './resolve.ts';
import type { DryRunResult } from './result.ts';
import { secondsSince } from './run.ts';
import { chooseRoot } from './runtime-folder.ts';
import { withSource } from './source.ts';
import { startTally } from './tally.ts';

/** As `restore`, up to the first step that would write anything: every PVC is `skipped`, or `failed` with its problems. */
export async function dryRun(options: RestoreOptions): Promise<DryRunResult> {
  const began = performance.now();
  const outcomes = new Outcomes(options);
  try {
    const checked = await checkOnly(options, outcomes);
    return { ...outcomes.document(secondsSince(began)), dryRun: forecast(checked) };
  } catch (error) {
    return { ...outcomes.document(secondsSince(began), toDatamoverError(error, options.signal)), dryRun: null };
  }
}

async function checkOnly(options: RestoreOptions, outcomes: Outcomes): Promise<Checked> {
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
      return checked;
    } finally {
      for (const target of targets) await target.close();
    }
  });
}

function forecast({ disks, scratchNeeded, scratchFree }: Checked): DryRunResult['dryRun'] {
  const sizes = disks.flatMap(({ chain }) => chain.layers.map(({ info }) => info.size));
  const bytesToDownload = sizes.reduce((sum, size) => sum + size, 0);
  return { bytesToDownload, scratchNeeded, scratchFree: scratchFree ?? null };
}
