// A ranged read of one pinned object, resumed from the next byte wanted until it is complete.

import type { Receiver } from '../http/exchange.ts';
import type { Attempt } from '../retry/attempt.ts';
import { HoldbackSink } from '../retry/last-byte.ts';
import { TransientError } from '../retry/policy.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import { WatchedSink } from '../retry/watched-sink.ts';
import type { ReadRange, Sink } from '../store.ts';
import { parsePin } from './pin.ts';
import { checkRangeAnswer } from './range-answer.ts';
import type { ObjectReader } from './reader.ts';

/** As `ObjectStore.read`; key and range are checked. */
export async function readObject(
  reader: ObjectReader,
  options: { readonly key: string; readonly range: ReadRange; readonly sink: Sink; readonly context: RetryContext },
): Promise<void> {
  const { key, range, context } = options;
  const where = reader.describe(key);
  const pin = parsePin(range.etag);
  const sink = new WatchedSink(options.sink, range);
  const last = range.offset + range.length - 1;
  const request = { key, what: `reading ${where} at offset ${range.offset}`, offset: () => sink.position };
  const once = async (attempt: Attempt): Promise<void> => {
    // The attempt before failed after its last byte.
    if (sink.left === 0) return;
    const first = sink.position;
    let held: HoldbackSink | undefined;
    await reader.ifMatch.send(pin, async (ifMatch) => {
      const receiver: Receiver = {
        onHead: ({ status, headers }) => {
          attempt.answered();
          if (status < 200 || status > 299) return undefined;
          if (ifMatch !== undefined) reader.ifMatch.taken();
          checkRangeAnswer({ status, headers }, { first, last, size: range.size, pin, where });
          // A length that is said has been checked; one that is not is known only at the end.
          if (headers['content-length'] !== undefined) return sink;
          held = new HoldbackSink(sink);
          return held;
        },
      };
      await reader.get(key, { range: `bytes=${first}-${last}`, ifMatch }, receiver, attempt.signal);
    });
    await held?.release();
    if (sink.left > 0)
      throw new TransientError(`the body ended ${sink.left} bytes early`, { fewRetries: sink.position === first });
  };
  await withRetries(request, context, (attempt) => sink.during(attempt, range.signal, () => once(attempt)));
}
