// What a command ends with: the JSON document, the text for people, and what went wrong.
import type { DatamoverError, Problem } from '../../errors.ts';
import type { RestoreResult } from '../../result.ts';

export interface Outcome {
  /** What `--output json` prints and `--report` writes. */
  readonly document: object;
  /** What stdout gets with `--output text`; whole lines, or ''. */
  readonly text: string;
  /** The first one decides the exit status; none means 0. */
  readonly problems: readonly Problem[];
  /** What was thrown, for the log at level debug. */
  readonly cause?: unknown;
  /** Work that stays done when the result cannot be written, e.g. "2 of 2 PVCs restored". */
  readonly complete?: string | undefined;
}

/** Makes a command's document of an error that left it with nothing else to tell. */
export type FailureDocument = (error: DatamoverError, seconds: number) => object;

/** The document of every command but `list` when it fails as a whole: with no PVCs. */
export const failureDocument: FailureDocument = (error, seconds): RestoreResult => ({
  version: 1,
  result: error.code === 'CANCELLED' ? 'cancelled' : 'failed',
  pvcs: [],
  seconds,
  ...failureOf(error),
});

/** The keys that every failure document has; `error` is the first of `problems`. */
export function failureOf(error: DatamoverError): {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
  readonly problems: readonly Problem[];
} {
  const first = error.problems[0] ?? error;
  return {
    error: { code: first.code, message: first.message, hint: first.hint },
    problems: error.problems,
  };
}

/** The outcome with one more problem, which the document lists as well. */
export function withProblem(outcome: Outcome, { problems: [added] }: DatamoverError): Outcome {
  if (added === undefined) return outcome;
  const problems = [...outcome.problems, added];
  const { code, message, hint } = problems[0] ?? added;
  // What was cancelled, or failed before, stays so.
  const result = outcome.problems.length === 0 ? { result: 'failed' } : {};
  return {
    ...outcome,
    document: { ...outcome.document, ...result, error: { code, message, hint }, problems },
    problems,
  };
}

/** An error as an outcome. */
export function failedOutcome(error: DatamoverError, seconds: number, toDocument: FailureDocument): Outcome {
  return { document: toDocument(error, seconds), text: '', problems: error.problems, cause: error };
}
