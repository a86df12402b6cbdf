// The bench's command line.
import { parseArgs } from 'node:util';
import { GiB, MiB, parseQuantity } from '../../../src/units.ts';

export const CASES = [
  'slow',
  'fast',
  'tls',
  'latency',
  'dense',
  'small',
  'compare',
  'scratch',
  'hidden',
  'layers',
  'sizes',
  'pvcs',
  'list',
] as const;
export type CaseName = (typeof CASES)[number];

export const HELP = `Usage: scripts/bench [options]

Restores the same seeded backup from a web server on this machine in every way that users have, in turn (A B A B), and
prints medians as Markdown tables. Needs root; memory for about three times the data.

  --small              a minute's run: little data, two rounds, no growth over large figures
  --case NAME          just this one, repeatable: ${CASES.join(', ')}
  --contender NAME     just these and the reference, repeatable
  --rounds N           of each (default 3; --small: 2)
  --size SIZE          bytes in the bucket of the main cases (default 5G, --small: 96M)
  --data DIR           keep the backups there, or use those that a run before kept
  --work DIR           targets and scratch (default: a directory in /dev/shm)
  --program PATH       what is measured (default bin/kubevirt-datamover)
  --output text|json

Cases: slow: 60 MB/s a connection; fast: as fast as loopback goes; tls: the same over https; latency: 20 ms before each
answer; dense: a full as KubeVirt makes it, of which a fifth is data; small: 64 MiB in 4 layers; compare: with a comparison of
the target; scratch: scratch at 100 MB/s; hidden: half of the full is hidden by newer layers; the rest: growth over layers, virtual size, PVCs, VMs.
`;

export interface Call {
  readonly cases: readonly CaseName[];
  readonly contenders: readonly string[] | undefined;
  readonly small: boolean;
  readonly rounds: number;
  /** Bytes. */
  readonly size: number;
  readonly data: string | undefined;
  readonly work: string;
  readonly program: string | undefined;
  readonly output: 'text' | 'json';
}

/** Reads the arguments; undefined when help was asked for. Throws an Error that says what is wrong with which. */
export function parseCall(args: readonly string[]): Call | undefined {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  if (values.help) return undefined;
  const { small, output } = values;
  if (output !== 'text' && output !== 'json') throw new Error(`--output ${output}: expected text or json`);
  const rounds = Number(values.rounds ?? (small ? 2 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}: expected a count`);
  return {
    cases: (values.case ?? CASES).map(parseCase),
    contenders: values.contender,
    small,
    rounds,
    size: parseSize(values.size) ?? (small ? 96 * MiB : 5 * GiB),
    data: values.data,
    work: values.work,
    program: values.program,
    output,
  };
}

function parseCase(name: string): CaseName {
  const found = CASES.find((one) => one === name);
  if (found === undefined) throw new Error(`--case ${name}: expected one of ${CASES.join(', ')}`);
  return found;
}

function parseSize(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseQuantity(text);
  if (bytes === undefined) throw new Error(`--size ${text}: expected a size`);
  return bytes;
}

const OPTIONS = {
  small: { type: 'boolean', default: false },
  case: { type: 'string', multiple: true },
  contender: { type: 'string', multiple: true },
  rounds: { type: 'string' },
  size: { type: 'string' },
  data: { type: 'string' },
  work: { type: 'string', default: '/dev/shm' },
  program: { type: 'string' },
  output: { type: 'string', default: 'text' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
