// A store that counts the requests that it takes when nothing fails.
import { omitUndefined } from '../omit-undefined.ts';
import type { ObjectStore } from './store.ts';

/** What a page of a listing holds at S3; Azure's holds more. */
const KEYS_A_PAGE = 1000;

/**
 * As `store`; `onRequest` is called once for each request. Retries, requests for credentials, and the second question to a server
 * that answers HEAD incompletely are not counted. Closing it is left to whoever opened `store`.
 */
export function countRequests(store: ObjectStore, onRequest: () => void): ObjectStore {
  const { description, sourceFlags } = store;
  // Each by its name: a request of a kind that is new shall not go uncounted.
  return {
    description,
    ...omitUndefined({ sourceFlags }),
    describe: (key) => store.describe(key),
    close: async () => await store.close(),
    head: async (key, options) => {
      onRequest();
      return await store.head(key, options);
    },
    start: async (key, options) => {
      onRequest();
      return await store.start(key, options);
    },
    read: async (key, range, sink) => {
      onRequest();
      await store.read(key, range, sink);
    },
    get: async (key, options) => {
      onRequest();
      return await store.get(key, options);
    },
    list: async function* (prefix, options) {
      onRequest();
      let keys = 0;
      for await (const entry of store.list(prefix, options)) {
        if (keys > 0 && keys % KEYS_A_PAGE === 0) onRequest();
        keys += 1;
        yield entry;
      }
    },
  };
}
