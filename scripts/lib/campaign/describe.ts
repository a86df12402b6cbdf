// A run of the campaign in a line.
import type { RunResult } from './run.ts';

/** Seed, faults, how each start ended, seconds. */
export function describeRun({ drawn, attempts, seconds }: RunResult): string {
  const { seed, strategy, chains, source, scratch, target, output, blows, dialect, limit, pause, readTimeout } = drawn;
  const struck = blows.map(({ kind, phase, afterMs }) => `${kind}@${phase ?? ''}+${afterMs}`).join(',') || 'left alone';
  const faults = [strategy, `source ${source}`, struck, `scratch ${scratch}`, target, output];
  if (chains === 'looked-up') faults.push('chains looked up');
  if (dialect !== 'none') faults.push(dialect);
  if (limit !== undefined) faults.push(`${limit.kind} ${limit.value}`);
  if (pause !== undefined)
    faults.push(`${pause.of} stopped ${pause.attempt}:${pause.phase ?? ''}+${pause.afterMs} for ${pause.forMs}`);
  if (readTimeout !== undefined) faults.push(`read timeout ${readTimeout} s`);
  return `${seed} [${faults.join('; ')}] ${attempts.join(' → ')} (${seconds} s)`;
}
