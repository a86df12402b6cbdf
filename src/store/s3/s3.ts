// A backup in an S3 bucket. The SDK signs and reads XML, our own connections carry the bytes, `retry.ts` is patient.
import type { RetryEvent } from '../../progress.ts';
import type { S3Options } from '../../s3-options.ts';
import type { Environment } from '../remote/environment.ts';
import { remoteStore, retryPolicyOf } from '../remote/remote-store.ts';
import type { RetryPolicy, SourceState } from '../retry/policy.ts';
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
  const policy = retryPolicyOf(open, env);
  const source: SourceState = { answered: false };
  const session = await openSession(options, { concurrency, policy, source, env });
  return remoteStore({ session, retries: { policy, source, onRetry }, head: headObject, list: listObjects });
}
