// An Azure store of the program's own over the real server, with a misbehaving peer between them, and little patience.
import type { Test } from 'tap';
import type { RetryEvent } from '../../src/progress.ts';
import { openAzureStore } from '../../src/store/azure/azure.ts';
import type { RetryPolicy } from '../../src/store/retry/policy.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { type Azurite, startAzurite } from './azurite.ts';
import { type Peer, startPeer } from './peer.ts';
import { QUICK } from './s3-peer.ts';

export interface AzureBehindPeer {
  readonly azurite: Azurite;
  readonly container: string;
  readonly peer: Peer;
  readonly store: ObjectStore;
  readonly retries: RetryEvent[];
}

/** A container with these blobs, seen through a peer. */
export async function azureBehindPeer(
  t: Test,
  blobs: Readonly<Record<string, Uint8Array>>,
  policy: RetryPolicy = QUICK,
): Promise<AzureBehindPeer> {
  const azurite = await startAzurite(t);
  const container = await azurite.createContainer();
  for (const [name, bytes] of Object.entries(blobs)) await azurite.put(container, name, bytes);
  const peer = await startPeer({ upstream: azurite.origin }, t);
  const retries: RetryEvent[] = [];
  const store = await openAzureStore(
    { account: azurite.account, container, endpoint: `${peer.endpoint}/${azurite.account}` },
    { concurrency: 4, env: azurite.env, policy, onRetry: (event) => retries.push(event) },
  );
  t.teardown(() => store.close());
  return { azurite, container, peer, store, retries };
}
