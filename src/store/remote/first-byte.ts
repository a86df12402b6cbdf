// Size and version of an object by a GET of its first byte, as the reads to come will meet it.
import type { Receiver } from '../http/exchange.ts';
import type { Attempt } from '../retry/attempt.ts';
import { TransientError } from '../retry/policy.ts';
import { type Pin, pinOfHeaders } from './pin.ts';
import { type AnswerHead, checkCoding } from './range-answer.ts';
import type { ObjectReader } from './reader.ts';

export interface Probed {
  readonly size: number;
  readonly pin: Pin;
  /** Of the answer that named them; lower-case names. */
  readonly headers: AnswerHead['headers'];
}

/** Throws a `TransientError` for an answer without a size or a version, otherwise as `ObjectReader.get`. */
export async function probeObject(reader: ObjectReader, key: string, attempt: Attempt): Promise<Probed> {
  const first = await firstByte(reader, key, attempt);
  return first ?? (await emptyObject(reader, key, attempt));
}

/** Undefined where the server answers 416: no range of an empty object holds a byte. */
async function firstByte(reader: ObjectReader, key: string, attempt: Attempt): Promise<Probed | undefined> {
  let probed: Probed | undefined;
  let answered = 0;
  const memory = new Uint8Array(1);
  const receiver: Receiver = {
    onHead: (head) => {
      attempt.answered();
      answered = head.status;
      if (!isGood(head)) return undefined;
      probed = probedOf(head);
      return { room: () => memory, filled: () => {} };
    },
  };
  try {
    await reader.get(key, { range: 'bytes=0-0' }, receiver, attempt.signal);
  } catch (error) {
    if (answered === 416) return undefined;
    throw error;
  }
  return probed ?? refuseAnswer('the server sent no object');
}

/** An object without a byte. */
async function emptyObject(reader: ObjectReader, key: string, attempt: Attempt): Promise<Probed> {
  let probed: Probed | undefined;
  const receiver: Receiver = {
    onHead: (head) => {
      attempt.answered();
      if (!isGood(head)) return undefined;
      probed = { size: 0, pin: requirePin(head), headers: head.headers };
      return {
        room: () => refuseAnswer('the server answered 416 for the first byte, and sent one nevertheless'),
        filled: () => {},
      };
    },
  };
  await reader.get(key, {}, receiver, attempt.signal);
  return probed ?? refuseAnswer('the server sent no object');
}

function probedOf(head: AnswerHead): Probed {
  const { status, headers } = head;
  const pin = requirePin(head);
  // A body that is the complete object serves the range of an object of one byte.
  if (status === 200 && headers['content-length'] === '1') return { size: 1, pin, headers };
  if (status !== 206) return refuseAnswer(`the server ignored Range (${status} instead of 206)`);
  // What Azurite says of an empty blob.
  if (headers['content-range'] === 'bytes 0--1/0') return { size: 0, pin, headers };
  const total = /^bytes 0-0\/(\d{1,15})$/i.exec(headers['content-range'] ?? '')?.[1];
  return total === undefined
    ? refuseAnswer('the server did not name the size of the object')
    : { size: Number(total), pin, headers };
}

function requirePin({ headers }: AnswerHead): Pin {
  checkCoding(headers);
  return pinOfHeaders(headers) ?? refuseAnswer('the server named neither an ETag nor Last-Modified');
}

function isGood({ status }: AnswerHead): boolean {
  return status >= 200 && status < 300;
}

function refuseAnswer(reason: string): never {
  throw new TransientError(reason, { fewRetries: true });
}
