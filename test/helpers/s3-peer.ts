// An S3 store of the program's own over the real server, with a misbehaving peer between them, and little patience.
import type { Test } from 'tap';
import type { RetryEvent } from '../../src/progress.ts';
import type { S3Options } from '../../src/s3-options.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from '../../src/store/retry/policy.ts';
import { openS3Store } from '../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { type Peer, type PeerPlan, startPeer } from './peer.ts';
import { type Rgw, startRgw } from './rgw.ts';

/** A policy whose patience ends with a retry, not with a time: for what would be tried until then. */
export function impatient(): { readonly policy: RetryPolicy; readonly onRetry: () => void } {
  const policy = { ...QUICK };
  let retries = 0;
  const onRetry = (): void => {
    retries += 1;
    if (retries >= DEFAULT_RETRY_POLICY.attempts) Object.assign(policy, { silentMs: 0, unansweredMs: 0 });
  };
  return { policy, onRetry };
}

/** As the program's, but with short waits; a stall is still long, so that a busy machine does not look like one. */
export const QUICK: RetryPolicy = {
  ...DEFAULT_RETRY_POLICY,
  baseMs: 2,
  maxWaitMs: 20,
  maxRetryAfterMs: 40,
  stallMs: 10_000,
  silentMs: 20_000,
  unansweredMs: 20_000,
  connectMs: 10_000,
};

export interface StoreBehindPeer {
  readonly rgw: Rgw;
  readonly bucket: string;
  readonly peer: Peer;
  readonly store: ObjectStore;
  readonly retries: RetryEvent[];
}

export interface BehindPeerOptions {
  readonly plan?: PeerPlan;
  readonly policy?: RetryPolicy;
  readonly options?: Partial<S3Options>;
  readonly seed?: number;
  /** The server's keys by default. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A bucket with these objects, seen through a peer. */
export async function storeBehindPeer(
  t: Test,
  objects: Readonly<Record<string, Uint8Array>>,
  { plan, policy = QUICK, options = {}, seed = 1, env }: BehindPeerOptions = {},
): Promise<StoreBehindPeer> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  for (const [key, bytes] of Object.entries(objects)) await rgw.put(bucket, key, bytes);
  const peer = await startPeer({ upstream: rgw.endpoint, seed, ...(plan === undefined ? {} : { plan }) }, t);
  const retries: RetryEvent[] = [];
  const store = await openS3Store(
    { bucket, endpoint: peer.endpoint, ...options },
    { concurrency: 4, env: env ?? rgw.env, policy, onRetry: (event) => retries.push(event) },
  );
  t.teardown(() => store.close());
  return { rgw, bucket, peer, store, retries };
}
