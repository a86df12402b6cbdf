// Size and version of an object by a GET of its first byte, as the reads to come will meet it.
import type { Receiver } from '../http/exchange.ts';
import type { Attempt } from '../retry/attempt.ts';
import { TransientError } from '../retry/policy.ts';
import { type Pin, pinOfHeaders } from './pin.ts';
import { type AnswerHead, checkCoding } from './range-answer.ts';
import type { S3Session } from './session.ts';

export interface Probed {
  readonly size: number;
  readonly pin: Pin;
}

/** A `TransientError` for an answer that tells no size or no version; other failures as `S3Session.get`. */
export async function probeObject(session: S3Session, key: string, attempt: Attempt): Promise<Probed> {
  const first = await probe(session, key, { range: 'bytes=0-0', attempt });
  if (first !== undefined) return first;
  // No byte lies in an empty object's range.
  const empty = await probe(session, key, { attempt });
  if (empty !== undefined) return empty;
  throw new TransientError('the server answered 416 for the first byte, and to a plain GET', { unlikely: true });
}

/** Undefined for a 416. */
async function probe(
  session: S3Session,
  key: string,
  { range, attempt }: { readonly range?: string; readonly attempt: Attempt },
): Promise<Probed | undefined> {
  let probed: Probed | undefined;
  let answered = 0;
  const memory = new Uint8Array(1);
  const receiver: Receiver = {
    onHead: (head) => {
      attempt.answered();
      answered = head.status;
      if (head.status < 200 || head.status > 299) return undefined;
      probed = probedOf(head);
      return { room: () => memory, filled: () => {} };
    },
  };
  try {
    await session.get(key, range === undefined ? {} : { range }, receiver, attempt.signal);
  } catch (error) {
    if (answered === 416) return undefined;
    throw error;
  }
  if (probed === undefined) throw new TransientError('the server sent no object', { unlikely: true });
  return probed;
}

function probedOf({ status, headers }: AnswerHead): Probed {
  checkCoding(headers);
  const pin = pinOfHeaders(headers);
  if (pin === undefined) throw unusable('the server named neither an ETag nor Last-Modified');
  // A body that is the complete object serves the range of an object of at most one byte.
  if (status === 200 && /^[01]$/.test(headers['content-length'] ?? '')) {
    return { size: Number(headers['content-length']), pin };
  }
  if (status !== 206) throw unusable(`the server ignored Range (${status} instead of 206)`);
  const total = /^bytes 0-0\/(\d{1,15})$/i.exec(headers['content-range'] ?? '')?.[1];
  if (total === undefined) throw unusable('the server did not name the size of the object');
  return { size: Number(total), pin };
}

function unusable(reason: string): TransientError {
  return new TransientError(reason, { unlikely: true });
}
