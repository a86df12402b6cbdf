// What `restore` and `download` share: flags and plan become the engine's options, its result becomes the outcome.
import type { Problem } from '../../errors.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import type { Plan } from '../../plan/plan.ts';
import { planId } from '../../plan/plan-id.ts';
import type { RestoreOptions } from '../../restore/options.ts';
import type { RestoreResult } from '../../result.ts';
import { count } from '../../units.ts';
import type { RestoreFlags } from '../flags/flags.ts';
import type { LoadedPlan } from '../flags/load-plan.ts';
import { findScratch } from '../flags/scratch.ts';
import { usageProblem } from '../flags/usage.ts';
import { withProgress } from '../progress/progress.ts';
import { renderDryRun, renderRestore } from '../render/restore.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Session } from '../session/session.ts';

/** What the two commands set each in its own way. */
export type CommandOptions = Pick<RestoreOptions, 'force' | 'pvcs' | 'makeParents' | 'requireBlockDevice'>;

/** Restores, or with `--dry-run` says what would be restored; with problems it only looks for more. `note` is logged first. */
export async function runRestore(
  { plan, problems }: LoadedPlan,
  flags: RestoreFlags,
  own: CommandOptions,
  session: Session,
  { note }: { readonly note?: string | undefined } = {},
): Promise<Outcome> {
  const scratch = findScratch(flags.scratch, plan, session);
  return await withProgress(session, flags.metricsPort, async (progress, more) => {
    if (note !== undefined) progress.report({ type: 'info', message: note });
    const options: RestoreOptions = {
      ...own,
      plan,
      problems: [...problems, ...more],
      strategy: flags.strategy,
      verify: flags.verify,
      fresh: flags.resume === false,
      checksums: flags.checksums,
      compress: flags.compress ?? false,
      hash: flags.hash ?? false,
      acceptUnproven: flags.acceptUnproven ?? false,
      env: session.env,
      paths: session.paths,
      progress,
      signal: session.signal,
      afterResult: session.afterResult,
      ...omitUndefined({
        scratch,
        concurrency: flags.concurrency,
        partSize: flags.partSize,
        maxRate: flags.maxRate,
        window: flags.window,
      }),
    };
    if (flags.dryRun) {
      const { dryRun } = await import('../../restore/dry-run.ts');
      return toOutcome(await dryRun(options), renderDryRun, { plan, session });
    }
    const { restore } = await import('../../restore/restore.ts');
    return toOutcome(await restore(options), renderRestore, { plan, session });
  });
}

/** USAGE for flags that do not go together. */
export function flagProblems({ window, strategy }: RestoreFlags): Problem[] {
  if (window === undefined || strategy === 'stream') return [];
  return [
    usageProblem(`--window requires --strategy stream, got ${strategy}`, 'remove --window, or add --strategy stream'),
  ];
}

function toOutcome<R extends RestoreResult>(
  result: R,
  render: (result: R) => string,
  { plan, session: { version } }: { readonly plan: Plan; readonly session: Pick<Session, 'version'> },
): Outcome {
  const own = version === undefined ? {} : { 'kubevirt-datamover': version };
  return {
    document: { ...result, planId: planId(plan), tools: { ...own, ...result.tools } },
    text: render(result),
    problems: result.problems ?? [],
    complete: completeText(result),
  };
}

/** Undefined when no PVC is restored; "1 of 2 PVCs restored". */
function completeText({ pvcs }: RestoreResult): string | undefined {
  const open: readonly string[] = ['failed', 'pending', 'planned'];
  const restored = pvcs.filter(({ state }) => !open.includes(state)).length;
  return restored === 0 ? undefined : `${restored} of ${count(pvcs.length, 'PVC')} restored`;
}
