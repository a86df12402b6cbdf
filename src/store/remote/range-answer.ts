// That an answer is the very range of the very version: the SDK checks none of it. Pure.
import { changedObject } from './object-errors.ts';
import { compareWithHeaders, type Pin } from './pin.ts';
import { unusableAnswer } from './unusable-answer.ts';

export interface AnswerHead {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface WantedRange {
  readonly first: number;
  readonly last: number;
  /** Of the object. */
  readonly size: number;
  readonly pin: Pin;
  /** For messages. */
  readonly where: string;
}

/**
 * Throws OBJECT_CHANGED for an answer about another version, a `TransientError` for one that cannot be used. A body that is the complete
 * object serves a range that is (RFC 9110, 14.2: a server may ignore Range).
 */
export function checkRangeAnswer({ status, headers }: AnswerHead, wanted: WantedRange): void {
  const { first, last, size, pin, where } = wanted;
  const version = compareWithHeaders(pin, headers);
  if (version === 'changed') throw changedObject(where);
  const complete = status === 200 && first === 0 && last === size - 1;
  if (status !== 206 && !complete) throw unusableAnswer(`the server ignored Range (${status} instead of 206)`);
  if (version === 'unclear')
    throw unusableAnswer(pin.tag === undefined ? 'the server named no Last-Modified' : 'the server named no ETag');
  checkCoding(headers);
  if (!complete) checkContentRange(headers, wanted);
  const length = headers['content-length'];
  if (length !== undefined && Number(length) !== last - first + 1) {
    throw unusableAnswer(`the server sent ${length} bytes instead of ${last - first + 1}`);
  }
}

function checkContentRange(headers: AnswerHead['headers'], { first, last, size, pin, where }: WantedRange): void {
  if (headers['content-range'] === `bytes ${first}-${last}/${size}`) return;
  // Range units are compared without case (RFC 9110, 14.1).
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(headers['content-range'] ?? '');
  if (match === null) {
    const parts = /^multipart\/byteranges\b/i.test(headers['content-type'] ?? '');
    throw unusableAnswer(
      `the server ${parts ? 'sent several ranges instead of one' : 'did not say which range it sent'}`,
    );
  }
  const [, from, to, total] = match;
  if (total !== '*' && Number(total) !== size) throw changedObject(where);
  if (total === '*' && pin.tag === undefined) throw unusableAnswer('the server named neither an ETag nor the size');
  if (Number(from) !== first || Number(to) !== last) {
    throw unusableAnswer(`the server sent bytes ${from}-${to} instead of ${first}-${last}`);
  }
}

/**
 * Throws for a body that is encoded although `identity` was asked for. `aws-chunked` is what some stores keep of an upload; their bodies
 * are plain.
 */
export function checkCoding(headers: AnswerHead['headers']): void {
  const coding = headers['content-encoding'];
  if (isPlain(coding)) return;
  throw unusableAnswer(`the server encoded the object (Content-Encoding: ${coding?.slice(0, 32)})`);
}

export function isPlain(coding: string | undefined): boolean {
  return coding === undefined || /^\s*(identity|aws-chunked)?\s*$/i.test(coding);
}
