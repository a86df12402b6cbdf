// One run of one command: does its work, prints what came of it, gives the exit status.
import type { Command } from 'commander';
import { messageOf, type Problem, toDatamoverError } from '../../errors.ts';
import { exitStatus } from '../../exit-status.ts';
import { Paths } from '../../paths/paths.ts';
import { count } from '../../units.ts';
import { type Context, cancelSignalOf, type LostLines } from './context.ts';
import type { GlobalFlags } from './global-flags.ts';
import { chooseLogFormat, describeCause, describeProblems, describeWarning, isLogged, type LogFormat } from './log.ts';
import { type FailureDocument, failedOutcome, failureDocument, type Outcome } from './outcome.ts';
import { outputPaths } from './outputs.ts';
import { isReaderGone, printResult } from './print-result.ts';
import { terminationPaths, writeTerminationMessage } from './termination.ts';

export interface Session extends Context {
  readonly flags: GlobalFlags;
  readonly logFormat: LogFormat;
  /** The program's. */
  readonly version: string | undefined;
  /** `now()` when the run began. */
  readonly startedAt: number;
  /** What the run reads and writes. */
  readonly paths: Paths;
  /** Does `step` after the result is printed: until then, what `step` removes proves to the next run what this one completed. */
  afterResult(step: () => Promise<void>): void;
}

/** How a command's action hands its work over; the program makes the exit status of it. */
export type Run = (command: Command, work: (session: Session) => Promise<Outcome>) => Promise<void>;

export interface SessionOptions {
  readonly toDocument?: FailureDocument;
  readonly version?: string;
}

/** Runs `work`; whatever it throws becomes a failure document. Returns the exit status. */
export async function runSession(
  context: Context,
  flags: GlobalFlags,
  work: (session: Session) => Promise<Outcome>,
  { toDocument = failureDocument, version }: SessionOptions = {},
): Promise<number> {
  const steps: (() => Promise<void>)[] = [];
  const session: Session = {
    ...context,
    flags,
    version,
    logFormat: chooseLogFormat(flags, context),
    startedAt: context.now(),
    paths: new Paths(),
    afterResult: (step) => void steps.push(step),
  };
  session.paths.writes(...outputPaths(context), ...terminationPaths(context.env));
  const status = await conclude(session, await settle(session, work, toDocument));
  for (const step of steps)
    await step().catch((error: unknown) => warn(session, `while cleaning up: ${messageOf(error)}`));
  return status;
}

function warn({ stderr, logFormat, now }: Session, message: string): void {
  stderr.write(describeWarning(message, logFormat, now()));
}

/** `work`'s outcome; an error that it throws is one too. */
export async function settle(
  session: Session,
  work: (session: Session) => Promise<Outcome>,
  toDocument: FailureDocument,
): Promise<Outcome> {
  try {
    return await work(session);
  } catch (error) {
    return failedOutcome(toDatamoverError(error, session.signal), secondsOf(session), toDocument);
  }
}

/** Seconds since the run started, to the millisecond. */
export function secondsOf({ now, startedAt }: Session): number {
  return Math.round(now() - startedAt) / 1000;
}

/** Prints result and problems, each on its stream, and leaves the termination message. */
async function conclude(session: Session, outcome: Outcome): Promise<number> {
  const { flags, stderr, logFormat, now } = session;
  const text = flags.output === 'json' ? `${JSON.stringify(outcome.document)}\n` : outcome.text;
  // What standard output would overwrite matters more than the result.
  const conflicts = await session.paths.problems('output');
  const failure = conflicts.length > 0 ? undefined : await printResult(text, session, outcome.complete);
  // `list | head` closed the pipe on purpose: the exit status suffices, unless there is work to report.
  const isQuiet = failure !== undefined && isReaderGone(failure) && outcome.complete === undefined;
  const problems = [
    ...outcome.problems,
    ...conflicts.filter(isNotIn(outcome.problems)),
    ...(failure === undefined || isQuiet ? [] : failure.problems),
  ];
  if (problems.length > 0) stderr.write(describeProblems(problems, logFormat, now()));
  if (isLogged('debug', flags.logLevel)) stderr.write(describeCause(outcome.cause ?? failure, logFormat, now()));
  if (stderr.lost !== undefined) warn(session, lostText(stderr.lost));
  if ((await session.paths.problems('termination log')).length === 0) {
    await writeTerminationMessage(problems, session.env);
  }
  const first = problems[0] ?? failure;
  return first === undefined ? 0 : exitStatus(first.code, cancelSignalOf(session.signal));
}

function lostText({ lines, reason }: LostLines): string {
  return `${count(lines, 'line')} of this log could not be written: ${reason}`;
}

function isNotIn(problems: readonly Problem[]): (problem: Problem) => boolean {
  return ({ message }) => !problems.some((known) => known.message === message);
}
