// scripts/campaign's command line.
import { parseArgs } from 'node:util';
import { STRATEGIES, type Strategy } from '../../../src/strategy.ts';
import { STORES, type StoreName } from './stores.ts';

export const HELP = `Usage: scripts/campaign [--runs N] [--seed S] [--one SEED]… [--jobs N] [--strategy NAME]… [--each]
                        [--store s3|azure|gcs] [--output text|json]

Restores small backups under faults drawn from a seed: a peer that spoils answers and answers as other stores do, kills,
signals and stopped time at random moments and phases, scratch that fills up, targets that fail, output that cannot be
written, limits of the shell. After each end of the program, and after up to five restarts, it checks that the target is
identical to the true disk with exit 0 (9 where the result could not be written), or that the exit is not 0 with a code
and that nothing can boot from the target. Needs root, for loop devices.
The exit status is 0 when every promise was kept.

  --runs N         number of runs (default 300)
  --seed S         seed of the first run; later runs count up from it (default 1)
  --one SEED       run only this seed, with its log; repeatable
  --jobs N         concurrent runs (default 2)
  --strategy NAME  run only this strategy; repeatable (default: all)
  --each           run every seed with every strategy, instead of one that the seed draws
  --store NAME     s3 on Ceph RGW (default), azure on Azurite, or gcs on the emulation of Google Cloud Storage
  --output json    every run as a JSON document on stdout; progress goes to stderr in either case
`;

export interface Call {
  readonly seeds: readonly number[];
  readonly jobs: number;
  /** Each seed draws from one of these lists. */
  readonly strategies: readonly (readonly Strategy[])[];
  readonly store: StoreName;
  readonly json: boolean;
  /** Runs that were named are shown with their logs. */
  readonly verbose: boolean;
}

/** Undefined when help is asked for. Throws what is wrong with a call. */
export function parseCall(args: readonly string[]): Call | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '300' },
      seed: { type: 'string', default: '1' },
      one: { type: 'string', multiple: true },
      jobs: { type: 'string', default: '2' },
      strategy: { type: 'string', multiple: true, default: [...STRATEGIES] },
      each: { type: 'boolean', default: false },
      store: { type: 'string', default: 's3' },
      output: { type: 'string', default: 'text' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const strategies = values.strategy.map(parseStrategy);
  const first = parseCount('--seed', values.seed);
  const counted = Array.from({ length: parseCount('--runs', values.runs) }, (_, index) => first + index);
  return {
    seeds: values.one?.map((seed) => parseCount('--one', seed)) ?? counted,
    jobs: parseCount('--jobs', values.jobs),
    strategies: values.each ? strategies.map((strategy) => [strategy]) : [strategies],
    store: parseStore(values.store),
    json: parseOutput(values.output) === 'json',
    verbose: values.one !== undefined,
  };
}

function parseCount(name: string, text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new Error(`${name}: expected an integer above 0, got ${text}`);
}

function parseStrategy(name: string): Strategy {
  const found = STRATEGIES.find((strategy) => strategy === name);
  if (found === undefined) throw new Error(`--strategy: expected one of ${STRATEGIES.join(', ')}, got ${name}`);
  return found;
}

function parseStore(name: string): StoreName {
  const found = STORES.find((store) => store === name);
  if (found === undefined) throw new Error(`--store: expected one of ${STORES.join(', ')}, got ${name}`);
  return found;
}

function parseOutput(name: string): 'text' | 'json' {
  if (name === 'text' || name === 'json') return name;
  throw new Error(`--output: expected text or json, got ${name}`);
}
