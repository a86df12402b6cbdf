// What design section 8 promises after every end of the program, checked on what can be seen from outside.
import { existsSync, readdirSync } from 'node:fs';
import { ERROR_CODES, type ErrorCode } from '../../../src/errors.ts';
import { exitStatus } from '../../../src/exit-status.ts';
import type { AttemptEnd } from './attempt.ts';
import { type Limit, namesLimit } from './limit.ts';
import { type CampaignTarget, partialsOf, type TargetState } from './target.ts';

export interface Judged {
  readonly broken: readonly string[];
  /** `ok`, the error's code, or `killed`. */
  readonly outcome: string;
  readonly states: TargetStates;
}

/** By the disks' names. */
export type TargetStates = ReadonlyMap<string, TargetState>;

export interface JudgeOptions {
  readonly disks: readonly RestoredDisk[];
  readonly scratch: string;
  /** How the targets were before this attempt: a claim that an earlier one left is no fault of this one. */
  readonly before: TargetStates;
  /** Whether an earlier attempt was killed: what it left beside a file is only taken away when that is begun again. */
  readonly killedBefore: boolean;
  /** The limit that this attempt ran under. */
  readonly limit: Limit | undefined;
  /** Whether nothing was wrong with the source. */
  readonly sourceBehaves: boolean;
}

export interface RestoredDisk {
  readonly name: string;
  readonly target: CampaignTarget;
  /** The true disk: a raw file. */
  readonly truth: string;
}

/** Codes that none of the campaign's faults may cause, and those that only some may. */
const NEVER: readonly ErrorCode[] = [
  'INTERNAL',
  'TOOL_FAILED',
  'TOOL_MISSING',
  'USAGE',
  'PLAN_INVALID',
  'SCRATCH_BUSY',
];

const BY_THE_SOURCE: readonly ErrorCode[] = ['ACCESS_DENIED', 'OBJECT_CHANGED', 'OBJECT_MISSING', 'SOURCE_UNREACHABLE'];

export async function judge(end: AttemptEnd, options: JudgeOptions): Promise<Judged> {
  const { disks, scratch, before, killedBefore } = options;
  const broken = [...end.broken];
  const states = new Map<string, TargetState>();
  for (const { name, target, truth } of disks) states.set(name, await target.state(truth));
  for (const [name, state] of states) if (state === 'wrong') broken.push(`${name}: its target has other content`);
  const outcome = outcomeOf(end, broken, options);
  if (outcome === 'killed') return { broken, outcome, states };
  for (const { name, target } of disks) {
    const told = end.document?.pvcs.find((pvc) => pvc.name === name)?.state;
    const state = states.get(name);
    const complete = told === 'restored' || told === 'kept';
    if (complete && state !== 'restored') broken.push(`${name}: reported ${told}, is ${state}`);
    if (outcome === 'ok' && !complete) broken.push(`${name}: ok, but ${told}`);
    if (state === 'claim' && target.sound && before.get(name) !== 'claim')
      broken.push(`${name}: a claim block is left behind by a clean exit (${outcome})`);
    if (!killedBefore)
      for (const file of partialsOf(target))
        broken.push(`${name}: ${file} is left behind by a clean exit (${outcome})`);
  }
  if (outcome === 'ok' && existsSync(scratch)) {
    for (const left of readdirSync(scratch)) broken.push(`left in scratch: ${left}`);
  }
  return { broken, outcome, states };
}

const SIGNALS = { kill: undefined, terminate: 'SIGTERM', interrupt: 'SIGINT', 'hang-up': 'SIGHUP' } as const;

function outcomeOf(end: AttemptEnd, broken: string[], { limit, sourceBehaves }: JudgeOptions): string {
  if (/^\s+at .*:\d+:\d+/m.test(end.stderr)) broken.push('a stack trace on stderr');
  if (end.exitCode === null) {
    // A signal that comes while Node itself still starts ends it before our program has begun.
    const early = end.struck !== undefined && end.phase === undefined;
    if (end.struck !== 'kill' && !early)
      broken.push('killed by a signal that was not sent or should have been handled');
    return 'killed';
  }
  // A restore whose result was lost is complete, and fails for that alone.
  const good = end.resultLost ? exitStatus('OUTPUT_FAILED') : 0;
  if (end.exitCode === good || end.exitCode === 0) {
    if (end.exitCode !== good) broken.push('exit 0, but the result was lost');
    if (end.document?.result !== 'ok') broken.push(`exit ${end.exitCode} without a result that is ok`);
    if (end.resultLost && !end.stderr.includes('OUTPUT_FAILED')) broken.push('the lost result is not reported');
    return 'ok';
  }
  if (end.document === undefined && limit !== undefined && isUnloadable(end, limit)) return 'TOOL_FAILED';
  // Node itself had not begun to handle signals.
  if (end.document === undefined && end.exitCode > 128 && end.struck !== undefined) return 'killed';
  const code = ERROR_CODES.find((known) => known === end.document?.error?.code);
  if (code === undefined) {
    broken.push(`exit ${end.exitCode} without a code`);
    return `exit ${end.exitCode}`;
  }
  const message = end.document?.error?.message ?? '';
  const isLimit = code === 'TOOL_FAILED' && limit !== undefined && namesLimit(limit, message);
  if (NEVER.includes(code) && !isLimit) broken.push(`${code}: ${message}`);
  if (BY_THE_SOURCE.includes(code) && sourceBehaves)
    broken.push(`${code}, and nothing is wrong with the source: ${message}`);
  const expected = exitStatus(code, end.struck === undefined ? undefined : SIGNALS[end.struck]);
  if (end.exitCode !== expected) broken.push(`exit ${end.exitCode} with ${code}, whose status is ${expected}`);
  return code;
}

/** The program could not be loaded: there is no document then, and an error on stderr. */
function isUnloadable({ exitCode, stderr }: AttemptEnd, limit: Limit): boolean {
  return exitCode === exitStatus('TOOL_FAILED') && stderr.includes('TOOL_FAILED') && namesLimit(limit, stderr);
}
