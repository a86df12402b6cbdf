// Few runs that meet every fault of many: as much of a campaign as a test can afford.
import type { Drawn } from './draw.ts';

/** What is drawn for a run, each in words; all but the store's dialect together with the strategy that meets it. */
export function faultsOf(drawn: Drawn): string[] {
  const { strategy, dialect, source, scratch, target, output, blows, pause, limit, backup, chains, verify } = drawn;
  const met = [
    `source ${source}`,
    `scratch ${scratch}`,
    `target ${target}`,
    `output ${output}`,
    `stopped ${pause?.of ?? 'never'}`,
    `limit ${limit?.kind ?? 'none'}`,
    `struck ${blows.length} times`,
    ...blows.flatMap(({ kind, phase }) => [`struck by ${kind}`, `struck in ${phase ?? 'no phase'}`]),
    `backup ${backup}`,
    `chains ${chains}`,
    `verify ${verify}`,
  ];
  return [`dialect ${dialect}`, ...met.map((fault) => `${strategy}: ${fault}`)];
}

/** Some of `runs`, in which each fault that any of them meets is met. Those that add most come first, restarts weighed. */
export function coveringRuns(runs: readonly Drawn[]): Drawn[] {
  const candidates = runs.map((run) => ({ run, faults: [...new Set(faultsOf(run))] }));
  const missing = new Set(candidates.flatMap(({ faults }) => faults));
  const covering: Drawn[] = [];
  while (missing.size > 0) {
    const gains = candidates.map(({ run, faults }) => {
      return faults.filter((fault) => missing.has(fault)).length / (2 + run.blows.length);
    });
    const best = candidates[gains.indexOf(Math.max(...gains))];
    if (best === undefined) break;
    covering.push(best.run);
    for (const fault of best.faults) missing.delete(fault);
  }
  return covering;
}
