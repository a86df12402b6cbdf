// One run of one command: does its work, prints what came of it, gives the exit status.
import type { Command } from 'commander';
import { toDatamoverError } from '../../errors.ts';
import { type Context, cancelSignalOf } from './context.ts';
import { exitStatus } from './exit.ts';
import type { GlobalFlags } from './global-flags.ts';
import { chooseLogFormat, describeCause, describeProblems, isSaid, type LogFormat } from './log.ts';
import { type FailureDocument, failedOutcome, failureDocument, type Outcome } from './outcome.ts';
import { writeTerminationMessage } from './termination.ts';

export interface Session extends Context {
  readonly flags: GlobalFlags;
  readonly logFormat: LogFormat;
  /** `now()` when the run began. */
  readonly startedAt: number;
}

/** How a command's action hands its work over; the program makes the exit status of it. */
export type Run = (command: Command, work: (session: Session) => Promise<Outcome>) => Promise<void>;

export interface SessionOptions {
  readonly toDocument?: FailureDocument;
}

/** Runs `work`; whatever it throws becomes a failure document. Returns the exit status. */
export async function runSession(
  context: Context,
  flags: GlobalFlags,
  work: (session: Session) => Promise<Outcome>,
  { toDocument = failureDocument }: SessionOptions = {},
): Promise<number> {
  const session: Session = {
    ...context,
    flags,
    logFormat: chooseLogFormat(flags, context),
    startedAt: context.now(),
  };
  return await conclude(session, await settle(session, work, toDocument));
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

/** Seconds since the run began, to the millisecond. */
export function secondsOf({ now, startedAt }: Session): number {
  return Math.round(now() - startedAt) / 1000;
}

/** Prints result and problems, each on its stream, and leaves the termination message. */
async function conclude(session: Session, outcome: Outcome): Promise<number> {
  const { flags, stdout, stderr, logFormat, now } = session;
  stdout.write(flags.output === 'json' ? `${JSON.stringify(outcome.document)}\n` : outcome.text);
  const first = outcome.problems[0];
  if (first === undefined) return 0;
  stderr.write(describeProblems(outcome.problems, logFormat, now()));
  if (isSaid('debug', flags.logLevel)) stderr.write(describeCause(outcome.cause, logFormat, now()));
  await writeTerminationMessage(outcome.problems, session.env);
  return exitStatus(first.code, cancelSignalOf(session.signal));
}
