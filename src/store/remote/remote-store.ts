// The store contract over the session of a store on a server: which checks come first, what is retried, and how it is named.
import { checkKey, checkPrefix } from '../key.ts';
import { checkRange } from '../limits.ts';
import { headAndRead } from '../read-bytes.ts';
import type { Attempt } from '../retry/attempt.ts';
import { HighWater } from '../retry/high-water.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy, withStall } from '../retry/policy.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import type { ListEntry, ObjectInfo, ObjectStore } from '../store.ts';
import { getDocument } from './document.ts';
import type { Environment } from './environment.ts';
import { readObject } from './read.ts';
import { readTimeoutMs } from './read-timeout.ts';
import type { ObjectReader } from './reader.ts';
import { startObject } from './start.ts';

interface RemoteSession extends ObjectReader {
  readonly description: string;
  /** Ends all connections. */
  close(): void;
}

export interface RemoteParts<Session extends RemoteSession> {
  readonly session: Session;
  /** Of every request. */
  readonly retries: Omit<RetryContext, 'signal'>;
  /** One attempt of `ObjectStore.head`. */
  readonly head: (session: Session, key: string, attempt: Attempt) => Promise<ObjectInfo>;
  readonly list: (session: Session, prefix: string, context: RetryContext) => AsyncIterable<ListEntry>;
}

export function remoteStore<Session extends RemoteSession>(parts: RemoteParts<Session>): ObjectStore {
  const { session, retries, head, list } = parts;
  const store: ObjectStore = {
    description: session.description,
    describe: (key) => session.describe(key),
    head: async (key, { signal }) => {
      checkKey(key);
      const request = { key, what: `requesting ${session.describe(key)}` };
      return await withRetries(request, { ...retries, signal }, (attempt) => head(session, key, attempt));
    },
    start: async (key, { length, signal }) => {
      checkKey(key);
      checkRange(key, { offset: 0, length, size: length });
      const request = { key, what: `reading ${session.describe(key)}` };
      const highWater = new HighWater();
      const started = await withRetries(request, { ...retries, signal }, (attempt) =>
        startObject(session, key, { length, attempt, highWater }),
      );
      return started ?? (await headAndRead(store, key, { length, signal }));
    },
    read: async (key, range, sink) => {
      checkKey(key);
      checkRange(key, range);
      await readObject(session, { key, range, sink, context: { ...retries, signal: range.signal } });
    },
    get: async (key, { maxBytes, signal }) => {
      checkKey(key);
      const request = { key, what: `reading ${session.describe(key)}` };
      const highWater = new HighWater();
      return await withRetries(request, { ...retries, signal }, (attempt) =>
        getDocument(session, key, { maxBytes, attempt, highWater }),
      );
    },
    list: async function* (prefix, { signal }) {
      checkPrefix(prefix);
      yield* list(session, prefix, { ...retries, signal });
    },
    close: async () => session.close(),
  };
  return store;
}

/** How patient to be: the caller's, else what the environment sets. USAGE as `readTimeoutMs`. */
export function retryPolicyOf(
  { policy = DEFAULT_RETRY_POLICY, stallMs }: { readonly policy?: RetryPolicy; readonly stallMs?: number },
  env: Environment,
): RetryPolicy {
  const stall = stallMs ?? readTimeoutMs(env);
  return stall === undefined ? policy : withStall(policy, stall);
}
