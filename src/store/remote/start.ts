// Size, version and first bytes of an object by one ranged GET.
import type { Receiver } from '../http/exchange.ts';
import { memorySink } from '../memory-sink.ts';
import type { Attempt } from '../retry/attempt.ts';
import type { HighWater } from '../retry/high-water.ts';
import { TransientError } from '../retry/policy.ts';
import type { ObjectStart, Sink } from '../store.ts';
import { formatPin, type Pin, pinOfHeaders } from './pin.ts';
import { type AnswerHead, isPlain } from './range-answer.ts';
import type { ObjectReader } from './reader.ts';

export interface StartOptions {
  /** Bytes wanted, at least 1. */
  readonly length: number;
  readonly attempt: Attempt;
  readonly highWater: HighWater;
}

/**
 * One attempt of `ObjectStore.start`. Undefined for an answer that leaves size, version or range open, whose body is not read: HEAD and
 * a pinned read find out, or report what is wrong with the server. Throws as `ObjectReader.get`.
 */
export async function startObject(
  reader: ObjectReader,
  key: string,
  { length, attempt, highWater }: StartOptions,
): Promise<ObjectStart | undefined> {
  const bytes = new Uint8Array(length);
  const onBytes = highWater.over(attempt);
  let found: Found | undefined;
  let received = 0;
  let status = 0;
  const receiver: Receiver = {
    onHead: (head) => {
      attempt.answered();
      status = head.status;
      if (status < 200 || status > 299) return undefined;
      found = foundBy(head, length);
      if (found === undefined) throw new UnclearAnswer();
      const { count } = found;
      const sink = memorySink((from) => {
        if (from === count) throw new TransientError('more bytes received than requested', { fewRetries: true });
        return bytes.subarray(from, count);
      });
      return {
        room: () => sink.room(),
        filled: (more) => {
          received += more;
          onBytes(more);
          return sink.filled(more);
        },
      } satisfies Sink;
    },
  };
  try {
    await reader.get(key, { range: `bytes=0-${length - 1}` }, receiver, attempt.signal);
  } catch (error) {
    // No range of an empty object holds a byte.
    if (error instanceof UnclearAnswer || status === 416) return undefined;
    throw error;
  }
  if (found === undefined) return undefined;
  const { size, pin, count } = found;
  if (received < count) throw new TransientError(`the body ended ${count - received} bytes early`);
  return { info: { key, size, etag: formatPin(pin), checksums: [] }, bytes: bytes.subarray(0, count) };
}

interface Found {
  /** Of the object. */
  readonly size: number;
  readonly pin: Pin;
  /** Bytes of the body. */
  readonly count: number;
}

function foundBy({ status, headers }: AnswerHead, length: number): Found | undefined {
  const pin = pinOfHeaders(headers);
  if (pin === undefined || !isPlain(headers['content-encoding'])) return undefined;
  const announced = headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
  // A body that is the complete object serves a range that is (RFC 9110, 14.2: a server may ignore Range).
  if (status === 200 && announced !== undefined && announced > 0 && announced <= length) {
    return { size: announced, pin, count: announced };
  }
  const [, last, total] = /^bytes 0-(\d{1,15})\/(\d{1,15})$/i.exec(headers['content-range'] ?? '') ?? [];
  if (status !== 206 || last === undefined || total === undefined) return undefined;
  const count = Math.min(length, Number(total));
  if (Number(last) !== count - 1 || (announced !== undefined && announced !== count)) return undefined;
  return { size: Number(total), pin, count };
}

class UnclearAnswer extends Error {
  override readonly name = 'UnclearAnswer';
}
