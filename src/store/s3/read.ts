// A ranged read of one pinned object, resumed from the next byte wanted until it is whole.

import type { Receiver } from '../http/exchange.ts';
import type { Attempt } from '../retry/attempt.ts';
import { LastByteHeld } from '../retry/last-byte.ts';
import { TransientError } from '../retry/policy.ts';
import { type RetryContext, withRetries } from '../retry/retry.ts';
import { WatchedSink } from '../retry/watched-sink.ts';
import type { ReadRange, Sink } from '../store.ts';
import { changedObject } from './errors.ts';
import type { S3Session } from './session.ts';

/** As `ObjectStore.read`; key and range are checked. */
export async function readObject(
  session: S3Session,
  options: { readonly key: string; readonly range: ReadRange; readonly sink: Sink; readonly context: RetryContext },
): Promise<void> {
  const { key, range, context } = options;
  const where = session.describe(key);
  const sink = new WatchedSink(options.sink, range);
  const last = range.offset + range.length - 1;
  const request = { key, what: `reading ${where} at offset ${range.offset}`, offset: () => sink.position };
  const once = async (attempt: Attempt): Promise<void> => {
    // The attempt before failed after its last byte.
    if (sink.left === 0) return;
    const first = sink.position;
    const held = new LastByteHeld(sink);
    const receiver: Receiver = {
      onHead: ({ status, headers }) => {
        attempt.answered();
        if (status < 200 || status > 299) return undefined;
        checkAnswer({ status, headers }, { first, last, range, where });
        // A length that is said has been checked; one that is not is known only at the end.
        return headers['content-length'] === undefined ? held : sink;
      },
    };
    await session.get(key, { range: `bytes=${first}-${last}`, etag: range.etag }, receiver, attempt.signal);
    await held.release();
    if (sink.left > 0)
      throw new TransientError(`the body ended ${sink.left} bytes early`, { unlikely: sink.position === first });
  };
  await withRetries(request, context, (attempt) => sink.during(attempt, range.signal, () => once(attempt)));
}

/** That the answer is the very range of the very version: the SDK checks none of it. */
function checkAnswer(
  { status, headers }: Parameters<Receiver['onHead']>[0],
  { first, last, range, where }: { first: number; last: number; range: ReadRange; where: string },
): void {
  const etag = headers.etag;
  if (etag !== undefined && etag !== range.etag) throw changedObject(where);
  if (status !== 206) throw unbelievable(`the server ignored Range (${status} instead of 206)`);
  if (etag === undefined) throw unbelievable('the server named no ETag');
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '');
  if (match === null) throw unbelievable('the server did not say which range it sent');
  if (match[3] !== '*' && Number(match[3]) !== range.size) throw changedObject(where);
  if (Number(match[1]) !== first || Number(match[2]) !== last) {
    throw unbelievable(`the server sent bytes ${match[1]}-${match[2]} instead of ${first}-${last}`);
  }
  const length = headers['content-length'];
  if (length !== undefined && Number(length) !== last - first + 1) {
    throw unbelievable(`the server sent ${length} bytes instead of ${last - first + 1}`);
  }
}

function unbelievable(reason: string): TransientError {
  return new TransientError(reason, { unlikely: true });
}
