// A backup in an S3 bucket. The SDK signs and reads XML, our own connections carry the bytes, `retry.ts` is patient.
import type { RetryEvent } from '../../progress.ts';
import type { S3Options } from '../../s3-options.ts';
import { checkKey, checkPrefix } from '../key.ts';
import { checkRange } from '../limits.ts';
import { getDocument } from '../remote/document.ts';
import type { Environment } from '../remote/environment.ts';
import { readObject } from '../remote/read.ts';
import { readTimeoutMs } from '../remote/read-timeout.ts';
import { HighWater } from '../retry/high-water.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy, type SourceState, withStall } from '../retry/policy.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import type { ObjectStore } from '../store.ts';
import { headObject } from './head.ts';
import { listObjects } from './list.ts';
import { openSession } from './open-session.ts';

export interface OpenS3Options {
  /** Connections kept for ranged reads. How many reads run at a time is the caller's affair. */
  readonly concurrency: number;
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  /** One attempt is given up when it waited so long for a byte; milliseconds. Default: the environment's, else 30,000. */
  readonly stallMs?: number;
  /** Proxies, keys and region that the plan does not name. The SDK's default chain reads the process's own besides. */
  readonly env: Environment;
  /** For tests: how patient to be. */
  readonly policy?: RetryPolicy;
}

/**
 * Opens the bucket; nothing is asked of it yet. PLAN_INVALID for credentials, CA or key files that cannot be used and for an endpoint
 * that is none, USAGE for a proxy or a stall time that is none. The AWS SDK is loaded here, not before.
 */
export async function openS3Store(options: S3Options, open: OpenS3Options): Promise<ObjectStore> {
  const { concurrency, env, onRetry } = open;
  const stallMs = open.stallMs ?? readTimeoutMs(env);
  const base = open.policy ?? DEFAULT_RETRY_POLICY;
  const policy = stallMs === undefined ? base : withStall(base, stallMs);
  const source: SourceState = { answered: false };
  const session = await openSession(options, { concurrency, policy, source, env });
  const context = (signal: AbortSignal): RetryContext => ({ policy, source, onRetry, signal });
  return {
    description: session.description,
    describe: (key) => session.describe(key),
    head: async (key, { signal }) => {
      checkKey(key);
      const request = { key, what: `requesting ${session.describe(key)}` };
      return await withRetries(request, context(signal), (attempt) => headObject(session, key, attempt));
    },
    read: async (key, range, sink) => {
      checkKey(key);
      checkRange(key, range);
      await readObject(session, { key, range, sink, context: context(range.signal) });
    },
    get: async (key, { maxBytes, signal }) => {
      checkKey(key);
      const request = { key, what: `reading ${session.describe(key)}` };
      const highWater = new HighWater();
      return await withRetries(request, context(signal), (attempt) =>
        getDocument(session, key, { maxBytes, attempt, highWater }),
      );
    },
    list: async function* (prefix, { signal }) {
      checkPrefix(prefix);
      yield* listObjects(session, prefix, context(signal));
    },
    close: async () => session.close(),
  };
}
