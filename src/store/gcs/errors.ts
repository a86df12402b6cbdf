// What an answer of Google Cloud Storage or a failed connection means: a DatamoverError, which is final, or a TransientError, which may pass.
// Messages are made of status, code and key only: the server's own text may quote the request.
import { DatamoverError, systemCode } from '../../errors.ts';
import { fromConnection } from '../remote/connection-errors.ts';
import type { ConnectionContext } from '../remote/failure-context.ts';
import { GATEWAY_HINT } from '../remote/hints.ts';
import { changedObject, missingObject } from '../remote/object-errors.ts';
import { retryAfterMs } from '../remote/retry-after.ts';
import { TransientError } from '../retry/policy.ts';
import { type ErrorAnswer, isOfGcs } from './answer.ts';
import { NO_GCS_HINT } from './hints.ts';
import { type Refusal, type RefusalContext, refusalOf } from './refusals.ts';

export interface FailureContext extends ConnectionContext, RefusalContext {
  /** `bucket "x" at https://…`. */
  readonly bucket: string;
}

/** Sorts whatever a connection threw. What is none of its errors is given back as it is. */
export function connectionFailure(error: unknown, context: ConnectionContext): unknown {
  if (error instanceof DatamoverError || error instanceof TransientError || !(error instanceof Error)) return error;
  const code = systemCode(error);
  // A call that cannot be made is a bug.
  if (code === undefined || error instanceof TypeError || error instanceof RangeError) return error;
  return fromConnection(code, error, context);
}

export function answerFailure(answer: ErrorAnswer, context: FailureContext): DatamoverError | TransientError {
  const { status, code, headers } = answer;
  const id = headers['x-guploader-uploadid'] ?? 'unknown';
  const cause = new Error(`the server answered ${status} ${code}, request id ${id}`);
  const shown = code === '' ? `${status}` : `${status} ${code}`;
  const final = ({ code: kind, why, hint }: Refusal): DatamoverError =>
    new DatamoverError(kind, `${context.where}: ${why} (${shown})`, { hint, cause });
  if (/^(NoSuchBucket|InvalidBucketName)$/.test(code)) return missingBucket(context, cause);
  if (status === 404 && code !== '') return missingObject(context, cause);
  // A 404 in a gateway's own name, say, while what is behind it restarts.
  if (status === 404) {
    return new TransientError('the server answered 404 without an error of Google Cloud Storage', {
      hint: NO_GCS_HINT,
      cause,
    });
  }
  if (status === 412 || status === 416) return changedObject(context.where, cause);
  if (isTransient(status, code)) {
    const hint = isOfGcs(answer) || answer.text === '' ? undefined : GATEWAY_HINT;
    return new TransientError(`the server answered ${shown}`, { retryAfterMs: retryAfterMs(headers), hint, cause });
  }
  return final(refusalOf(answer, context));
}

function isTransient(status: number, code: string): boolean {
  if (/^(SlowDown|InternalError|ServiceUnavailable|RequestTimeout|TooManyRequests)$/.test(code)) return true;
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

function missingBucket({ bucket }: FailureContext, cause: Error): DatamoverError {
  return new DatamoverError('OBJECT_MISSING', `the ${bucket} does not exist`, {
    hint: 'check the name of the bucket and the endpoint (gcloud storage buckets list)',
    cause,
  });
}
