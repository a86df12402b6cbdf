// What goes wrong in one run of the campaign: drawn from its seed alone, so that the seed replays it.

import type { Phase } from '../../../src/progress.ts';
import { STRATEGIES, type Strategy } from '../../../src/strategy.ts';
import { seededRandom } from '../../../test/helpers/random.ts';
import { DIALECT_NAMES } from './dialect.ts';
import { drawLimit, type Limit } from './limit.ts';
import { drawPause, type Pause } from './pause.ts';
import type { StoreName } from './stores.ts';

/** What is between the program and the store, in the attempts before things are mended. */
const SOURCE_FAULTS = [
  'none',
  'lossy',
  'confused',
  'overloaded',
  'slow',
  'stalling',
  'swapped',
  'forbidden',
  'corrupted',
] as const;
/** How the run's process ends before its time. `interrupt` is a terminal's: the whole process group gets it. */
const BLOWS = ['none', 'kill', 'terminate', 'interrupt'] as const;
const SCRATCH_FAULTS = ['none', 'too small', 'fills up'] as const;
const TARGETS = [
  'blank device',
  'dirty device',
  'larger device',
  'new file',
  'existing file',
  'bad sector',
  'full device',
  'dying device',
  'failing flush',
  'small device',
  'read-only device',
] as const;

/** Where the program's output goes. A terminal hangs up in the first attempt. */
const OUTPUTS = ['pipes', 'result full', 'log full', 'log closed', 'log unread', 'terminal hung up'] as const;

/** All that can be drawn of these. */
export const FAULTS = { source: SOURCE_FAULTS, scratch: SCRATCH_FAULTS, target: TARGETS, output: OUTPUTS };

export interface Blow {
  readonly kind: Exclude<(typeof BLOWS)[number], 'none'> | 'hang-up';
  /** Counted from the beginning of this phase, or of the process. */
  readonly phase: Phase | undefined;
  readonly afterMs: number;
}

export interface Drawn {
  readonly seed: number;
  readonly backup: number;
  readonly strategy: Strategy;
  readonly verify: 'none' | 'compare';
  readonly sha256: boolean;
  /** Whether the plan names layers, or the run looks for them in the bucket. */
  readonly chains: 'written' | 'looked-up';
  readonly source: (typeof SOURCE_FAULTS)[number];
  readonly scratch: (typeof SCRATCH_FAULTS)[number];
  /** When scratch fills up. */
  readonly fillPhase: Phase;
  readonly target: (typeof TARGETS)[number];
  /** Where on the disk a bad sector lies, or at what part of the run a device dies: 0 … 1. */
  readonly place: number;
  /** Attempt n gets the nth, as long as there are any. */
  readonly blows: readonly Blow[];
  /** From this attempt on (counted from 0) source and scratch behave. */
  readonly mendedAt: number;
  readonly output: (typeof OUTPUTS)[number];
  /** How the store speaks, in every attempt; `none` is RGW's own. */
  readonly dialect: string;
  /** Until source and scratch behave. */
  readonly limit: Limit | undefined;
  readonly pause: Pause | undefined;
  /** KUBEVIRT_DM_READ_TIMEOUT_SECONDS; undefined for the program's own. */
  readonly readTimeout: number | undefined;
}

interface DrawOptions {
  readonly backups: number;
  readonly strategies?: readonly Strategy[];
  /** Only S3 is spoken in dialects. */
  readonly store?: StoreName;
}

export function drawRun(seed: number, { backups, strategies = STRATEGIES, store = 's3' }: DrawOptions): Drawn {
  const random = seededRandom(`campaign ${seed}`);
  const strategy = pick(random, strategies);
  const blows = Array.from({ length: random() < 0.3 ? 0 : 1 + Math.floor(random() * 3) }, () =>
    drawBlow(random, strategy),
  );
  const pause = random() < 0.2 ? drawPause(random, PHASES[strategy]) : undefined;
  const source = drawSource(random, strategy);
  const sha256 = strategy !== 'stream' && (random() < 0.3 || source === 'corrupted');
  const drawn: Drawn = {
    seed,
    backup: Math.floor(random() * backups),
    strategy,
    verify: random() < 0.5 ? 'none' : 'compare',
    sha256,
    // Checksums of layers are part of a written chain.
    chains: !sha256 && random() < 0.5 ? 'looked-up' : 'written',
    source,
    scratch: strategy === 'stream' ? 'none' : weighted(random, SCRATCH_FAULTS, [8, 1, 2]),
    fillPhase: pick(random, ['download', 'rebase', 'check-image', 'flatten', 'convert', 'finalize'] as const),
    target: weighted(random, TARGETS, [5, 5, 3, 3, 2, 2, 1, 1, 1, 0.5, 0.5]),
    place: random(),
    blows,
    mendedAt: 1 + Math.floor(random() * 3),
    output: weighted(random, OUTPUTS, [12, 1, 1, 1, 1, 2]),
    dialect: drawDialect(random, store),
    limit: random() < 0.2 ? drawLimit(random) : undefined,
    pause,
    // Below the longest pause: a stop must not count as silence.
    readTimeout: (pause !== undefined || source === 'stalling') && random() < 0.7 ? READ_TIMEOUT_SECONDS : undefined,
  };
  if (drawn.output !== 'terminal hung up') return drawn;
  const hangUp: Blow = { ...drawBlow(random, strategy), kind: 'hang-up' };
  return { ...drawn, blows: [hangUp, ...blows.slice(1)] };
}

/** The same number of draws for every store, so that a seed has the same faults on each. */
function drawDialect(random: () => number, store: StoreName): string {
  const name = random() < 0.5 ? 'none' : pick(random, DIALECT_NAMES);
  return store === 's3' ? name : 'none';
}

const READ_TIMEOUT_SECONDS = 4;

/** `stream` cannot check a whole object: what TLS would have noticed is not for it. */
function drawSource(random: () => number, strategy: Strategy): Drawn['source'] {
  const source = weighted(random, SOURCE_FAULTS, [8, 5, 3, 3, 4, 0.4, 2, 1, 1]);
  return source === 'corrupted' && strategy === 'stream' ? 'none' : source;
}

function drawBlow(random: () => number, strategy: Strategy): Blow {
  const kind = weighted(random, ['kill', 'terminate', 'interrupt'] as const, [4, 2, 1]);
  if (random() < 0.4) return { kind, phase: undefined, afterMs: 200 + Math.floor(random() * 3000) };
  return { kind, phase: pick(random, PHASES[strategy]), afterMs: random() < 0.5 ? 0 : Math.floor(random() * 150) };
}

const PHASES: Readonly<Record<Strategy, readonly Phase[]>> = {
  staged: ['preflight', 'download', 'rebase', 'check-image', 'convert', 'finalize', 'verify'],
  'staged-raw': ['preflight', 'download', 'rebase', 'check-image', 'flatten', 'convert', 'finalize', 'verify'],
  stream: ['preflight', 'check-image', 'copy', 'finalize', 'verify'],
};

function pick<T>(random: () => number, from: readonly T[]): T {
  const picked = from[Math.floor(random() * from.length)];
  if (picked === undefined) throw new RangeError('nothing to pick from');
  return picked;
}

function weighted<T>(random: () => number, from: readonly T[], weights: readonly number[]): T {
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, item] of from.entries()) {
    left -= weights[index] ?? 0;
    if (left < 0) return item;
  }
  return pick(random, from);
}
