// What an answer that is no success means: a DatamoverError, which is final, or a TransientError, which may pass.
// Messages are made of status, code and key only: the server's own text may quote the request.
import { DatamoverError } from '../../errors.ts';
import { TransientError } from '../retry/policy.ts';
import type { ErrorAnswer } from './error-answer.ts';
import { GATEWAY_HINT } from './hints.ts';
import { changedObject, missingObject } from './object-errors.ts';
import type { Refusal } from './refusal.ts';
import { retryAfterMs } from './retry-after.ts';

/** How a service names what is wrong. */
export interface ServiceErrors {
  /** `an Azure error`. */
  readonly anError: string;
  /** The header with the request's id, which every answer of the service has. Lower case. */
  readonly requestId: string;
  /** Codes for a bucket or container that does not exist. */
  readonly missingBucket: RegExp;
  readonly missingBucketHint: string;
  /** Codes of what may pass, whatever the status. */
  readonly transient: RegExp;
  readonly wrongServerHint: string;
}

export interface AnswerContext {
  readonly where: string;
  /** `bucket "x" at https://…`, `container "x" of account y`. */
  readonly bucket: string;
  /** What a final answer means that no other rule knows. */
  readonly refusal: () => Refusal;
}

/** Whether the service, or a server that speaks its language, answered. */
export function isOfService({ code, headers }: ErrorAnswer, requestId: ServiceErrors['requestId']): boolean {
  return code !== '' || headers[requestId] !== undefined;
}

export function answerFailure(
  answer: ErrorAnswer,
  service: ServiceErrors,
  { where, bucket, refusal }: AnswerContext,
): DatamoverError | TransientError {
  const { status, code, headers } = answer;
  const id = headers[service.requestId] ?? 'unknown';
  const cause = new Error(`the server answered ${status} ${code}, request id ${id}`);
  const shown = code === '' ? `${status}` : `${status} ${code}`;
  if (service.missingBucket.test(code)) {
    const hint = service.missingBucketHint;
    return new DatamoverError('OBJECT_MISSING', `the ${bucket} does not exist`, { hint, cause });
  }
  if (status === 404 && code !== '') return missingObject({ where }, cause);
  // A 404 in a gateway's own name, say, while what is behind it restarts.
  if (status === 404) {
    const hint = service.wrongServerHint;
    return new TransientError(`the server answered 404 without ${service.anError}`, { hint, cause });
  }
  if (status === 412 || status === 416) return changedObject(where, cause);
  if (service.transient.test(code) || isTransientStatus(status)) {
    const hint = isOfService(answer, service.requestId) || answer.text === '' ? undefined : GATEWAY_HINT;
    return new TransientError(`the server answered ${shown}`, { retryAfterMs: retryAfterMs(headers), hint, cause });
  }
  const { code: kind, why, hint } = refusal();
  return new DatamoverError(kind, `${where}: ${why} (${shown})`, { hint, cause });
}

/** Whether a status says that the request may succeed later. */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}
