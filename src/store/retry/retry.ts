// When a request is tried again and when it is given up: the promises of design section 8, for every store.
import { asleepMs, awakeNow } from '../../awake.ts';
import { sleep } from '../../concurrency.ts';
import { DatamoverError } from '../../errors.ts';
import type { RetryEvent } from '../../progress.ts';
import { formatDuration } from '../../units.ts';
import { Attempt } from './attempt.ts';
import {
  type RetryPolicy,
  retryDeadlineMs,
  type SourceState,
  type Standing,
  TransientError,
  waitBound,
} from './policy.ts';

export interface RetryContext {
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  readonly signal: AbortSignal;
}

export interface RetriedRequest {
  readonly key: string;
  /** What fails, for the message: `reading s3://…`. */
  readonly what: string;
  /** Where a ranged read stands. */
  readonly offset?: () => number;
}

/**
 * Calls `work` until it succeeds. A `TransientError`, its own or the attempt's (a stall), is followed by another attempt
 * after a back-off with full jitter; anything else is final. Gives up with SOURCE_UNREACHABLE. Rejects with the
 * signal's reason as soon as that is aborted.
 */
export async function withRetries<T>(
  request: RetriedRequest,
  context: RetryContext,
  work: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const { policy, source, signal } = context;
  const began = performance.now();
  let lastProgressAt = awakeNow();
  let asleep = asleepMs();
  // In a row, without a new byte.
  let failures = 0;
  let before: TransientError | undefined;
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const offset = request.offset?.();
    const attempt = new Attempt({ policy, source, lastProgressAt, failures, signal });
    let failure: TransientError;
    try {
      return await work(attempt);
    } catch (error) {
      signal.throwIfAborted();
      failure = transientOf(attempt.signal.aborted ? attempt.signal.reason : error);
    } finally {
      attempt.end();
    }
    if (attempt.progressedAt !== undefined) {
      lastProgressAt = attempt.progressedAt;
      failures = 0;
    }
    failures += 1;
    // This process did not wait while it did not run, and the gap itself may have cost the connection.
    if (asleep !== asleepMs()) lastProgressAt = awakeNow();
    asleep = asleepMs();
    const patience = retryDeadlineMs(policy, source);
    const left = lastProgressAt + patience - awakeNow();
    const waitMs = waitBefore(failure, policy, { failures, left });
    // A wait that the server asked for is no silence of its own, as long as the attempts promised are not used up.
    if (failure.options.retryAfterMs !== undefined && failures < policy.attempts) lastProgressAt += waitMs;
    const hopeless = failure.options.fewRetries === true && failures >= policy.attempts;
    if (hopeless || awakeNow() + waitMs - lastProgressAt >= patience) {
      const told = failure.options.pastDeadline === true ? (before ?? failure) : failure;
      throw retriesExhausted(request, told, { tries, seconds: (performance.now() - began) / 1000 });
    }
    before = failure;
    context.onRetry?.({ key: request.key, offset, attempt: tries, waitMs, reason: failure.message });
    await sleep(waitMs, signal);
  }
}

function transientOf(error: unknown): TransientError {
  if (error instanceof TransientError) return error;
  throw error;
}

function waitBefore({ options }: TransientError, policy: RetryPolicy, standing: Standing): number {
  if (options.retryNow === true) return 0;
  const asked = Math.min(options.retryAfterMs ?? 0, policy.maxRetryAfterMs);
  return Math.round(Math.max(asked, Math.random() * waitBound(policy, standing)));
}

function retriesExhausted(
  request: RetriedRequest,
  failure: TransientError,
  { tries, seconds }: { readonly tries: number; readonly seconds: number },
): DatamoverError {
  if (failure.options.finalError !== undefined) return failure.options.finalError;
  const times = tries === 1 ? 'once' : `${tries} times`;
  return new DatamoverError(
    'SOURCE_UNREACHABLE',
    `${request.what}: ${failure.message} (tried ${times} in ${formatDuration(seconds)})`,
    {
      hint:
        failure.options.hint ??
        'check that the source is up and reachable from here (endpoint, DNS, proxy, firewall), then run the same command again',
      cause: failure.cause,
    },
  );
}
