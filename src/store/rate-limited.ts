// A store whose reads together stay below a rate. Documents, listings and headers are small and pass at once.
import type { RateLimit } from '../rate-limit.ts';
import { KiB } from '../units.ts';
import type { ObjectStore, Sink } from './store.ts';

/** As `store`; closing it is left to whoever opened `store`. */
export function limitReads(store: ObjectStore, limit: RateLimit): ObjectStore {
  return {
    ...store,
    read: (key, range, sink) => store.read(key, range, limitedSink(sink, limit, range.signal)),
  };
}

/** Takes so little at a time that a rate holds in every tenth of a second, or 4 KiB. */
function limitedSink(sink: Sink, limit: RateLimit, signal: AbortSignal): Sink {
  const most = Math.max(4 * KiB, Math.floor(limit.rate / 10));
  return {
    room: () => sink.room().subarray(0, most),
    filled: async (count) => {
      await sink.filled(count);
      await limit.take(count, signal);
    },
  };
}
