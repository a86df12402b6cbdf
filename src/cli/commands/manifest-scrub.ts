// The flags of `manifest` for a CronJob that verifies a bucket.
import { InvalidArgumentError, Option } from 'commander';
import type { Problem } from '../../errors.ts';
import { GiB, KiB } from '../../units.ts';
import { parseSize, parseText } from '../flags/flags.ts';
import { usageProblem } from '../flags/usage.ts';

export interface ScrubFlags {
  /** The schedule. */
  readonly scrub?: string;
  readonly maxRate?: number;
}

export function scrubOptions(): Option[] {
  return [
    new Option('--scrub <cron>', 'print a CronJob that verifies the source of the plan instead').argParser(
      parseSchedule,
    ),
    new Option('--max-rate <size>', 'with --scrub: bytes per second to read at most').argParser(
      parseSize({ min: 4 * KiB, max: 1024 * GiB }),
    ),
  ];
}

/** USAGE for flags of Jobs beside a schedule, and a rate without one. `ofJobs`: by their names, whatever is given of them. */
export function scrubProblems({ scrub, maxRate }: ScrubFlags, ofJobs: Readonly<Record<string, unknown>>): Problem[] {
  if (scrub === undefined && maxRate === undefined) return [];
  if (scrub === undefined) return [usageProblem('--max-rate requires --scrub', 'add --scrub, or remove --max-rate')];
  return Object.entries(ofJobs)
    .filter(([, value]) => value)
    .map(([flag]) => usageProblem(`--scrub cannot be combined with ${flag}`, `remove ${flag}: a scrub has no target`));
}

/** As the controller reads it: five fields, or a macro. */
function parseSchedule(value: string): string {
  const field = /^[\d*/,A-Za-z?-]+$/;
  const fields = parseText(value).trim().split(/\s+/);
  const isMacro = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(value);
  if (isMacro || (fields.length === 5 && fields.every((one) => field.test(one)))) return fields.join(' ');
  throw new InvalidArgumentError("It must be a schedule of cron, as in '0 3 * * 0' or @weekly.");
}
