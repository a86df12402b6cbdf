// A store of Google Cloud Storage of the program's own over the translator, with a misbehaving peer between them, and little patience.
import type { Test } from 'tap';
import type { RetryEvent } from '../../src/progress.ts';
import { openGcsStore } from '../../src/store/gcs/gcs.ts';
import type { RetryPolicy } from '../../src/store/retry/policy.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { type Gcs, startGcs } from './gcs.ts';
import { type Peer, startPeer } from './peer.ts';
import { QUICK } from './s3-peer.ts';

export interface GcsBehindPeer {
  readonly gcs: Gcs;
  readonly bucket: string;
  readonly peer: Peer;
  readonly store: ObjectStore;
  readonly retries: RetryEvent[];
}

/** A bucket with these objects, seen through a peer. */
export async function gcsBehindPeer(
  t: Test,
  objects: Readonly<Record<string, Uint8Array>>,
  policy: RetryPolicy = QUICK,
): Promise<GcsBehindPeer> {
  const gcs = await startGcs(t);
  const bucket = await gcs.createBucket();
  for (const [key, bytes] of Object.entries(objects)) await gcs.rgw.put(bucket, key, bytes);
  const peer = await startPeer({ upstream: gcs.origin }, t);
  const retries: RetryEvent[] = [];
  const store = await openGcsStore(
    { bucket, endpoint: peer.endpoint, credentialsFile: gcs.credentials() },
    { concurrency: 4, env: {}, policy, onRetry: (event) => retries.push(event) },
  );
  t.teardown(() => store.close());
  return { gcs, bucket, peer, store, retries };
}
