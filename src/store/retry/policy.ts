// How patient a store is, and the failures that may pass.
import type { DatamoverError } from '../../errors.ts';

export interface RetryPolicy {
  /** Attempts that every request gets at least, where they fit into the times below. */
  readonly attempts: number;
  /** Upper bound of the first wait; it doubles with every failure in a row, and the wait is drawn below it. */
  readonly baseMs: number;
  /** No wait of our own is longer. */
  readonly maxWaitMs: number;
  /** No wait that the server asks for (Retry-After) is longer. */
  readonly maxRetryAfterMs: number;
  /** One attempt is given up when it waited so long for a byte; sooner where others are owed, see `stallOf`. */
  readonly stallMs: number;
  /** The request is given up when no new byte came for so long. */
  readonly silentMs: number;
  /** The same while the source never answered anything at all. */
  readonly unansweredMs: number;
  /** One connection may take so long to be made. */
  readonly connectMs: number;
}

/** Six attempts that fail at once take under 8 s of waits (0.25 + 0.5 + 1 + 2 + 4 at most). */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  attempts: 6,
  baseMs: 250,
  maxWaitMs: 4_900,
  maxRetryAfterMs: 30_000,
  stallMs: 30_000,
  silentMs: 60_000,
  unansweredMs: 15_000,
  connectMs: 5_000,
};

export interface TransientOptions {
  /** What the server asked for. */
  readonly retryAfterMs?: number | undefined;
  /** Another attempt needs no wait: what failed is mended already. */
  readonly retryNow?: boolean;
  /** Unlikely to pass by waiting: given up after `attempts` failures in a row. */
  readonly fewRetries?: boolean;
  /** What it is given up with, instead of SOURCE_UNREACHABLE. */
  readonly finalError?: DatamoverError;
  /** What to change, where SOURCE_UNREACHABLE's usual hint does not say it. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** The request's patience ended during the attempt: what failed before says more. */
  readonly pastDeadline?: boolean;
}

/** A failure that may pass. Its message is the reason that people read; it holds no credential. */
export class TransientError extends Error {
  override readonly name = 'TransientError';
  readonly options: TransientOptions;

  constructor(reason: string, options: TransientOptions = {}) {
    super(reason, options.cause === undefined ? undefined : { cause: options.cause });
    this.options = options;
  }
}

/** A policy with another stall time. One that is longer lengthens what a request is given in all, by the same factor. */
export function withStall(policy: RetryPolicy, stallMs: number): RetryPolicy {
  const factor = Math.max(1, stallMs / policy.stallMs);
  const { silentMs, unansweredMs } = policy;
  return { ...policy, stallMs, silentMs: silentMs * factor, unansweredMs: unansweredMs * factor };
}

/** The request is given up after so long without a new byte. */
export function retryDeadlineMs(policy: RetryPolicy, { answered }: SourceState): number {
  return answered ? policy.silentMs : policy.unansweredMs;
}

/** Where a request stands: `failures` attempts in a row without a new byte, and what is left of its patience. */
export interface Standing {
  readonly failures: number;
  readonly left: number;
}

/**
 * How long an attempt may wait for a byte. The first one is given `stallMs`, though no more than half of the patience: a source
 * may be slow. After it has waited in vain the source more likely is dead, or this connection: the attempts that are still
 * owed share what is left, two thirds of a share each.
 */
export function stallTimeout(policy: RetryPolicy, source: SourceState, { failures, left }: Standing): number {
  if (failures === 0) return Math.min(policy.stallMs, retryDeadlineMs(policy, source) / 2);
  const owed = policy.attempts - failures;
  return owed > 1 ? Math.min(policy.stallMs, (left / owed) * (2 / 3)) : policy.stallMs;
}

/** Upper bound of the wait before the next attempt: a third of a share while attempts are owed. */
export function waitBound(policy: RetryPolicy, { failures, left }: Standing): number {
  const owed = policy.attempts - failures;
  const share = owed > 0 ? Math.max(0, left / owed / 3) : Number.POSITIVE_INFINITY;
  return Math.min(policy.maxWaitMs, policy.baseMs * 2 ** (failures - 1), share);
}

/** What is known of a source over all its requests. */
export interface SourceState {
  /** It answered something, whatever it was. */
  answered: boolean;
}
