// A run of the campaign in a line.
import type { RunResult } from './run.ts';

/** Seed, faults, how each start ended, seconds. */
export function describeRun({ drawn, attempts, seconds }: RunResult): string {
  const { seed, strategy, source, scratch, target, output, blows } = drawn;
  const struck = blows.map(({ kind, phase, afterMs }) => `${kind}@${phase ?? ''}+${afterMs}`).join(',') || 'left alone';
  const faults = [strategy, `source ${source}`, struck, `scratch ${scratch}`, target, output].join('; ');
  return `${seed} [${faults}] ${attempts.join(' → ')} (${seconds} s)`;
}
