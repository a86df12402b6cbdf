// What an S3 answer or a failed connection means: a DatamoverError, which is final, or a TransientError, which may pass.
// Messages are made of status, name and key only: the server's own text and the SDK's error may quote the request.
import { DatamoverError, systemCode } from '../../errors.ts';
import { isTransientStatus } from '../remote/answer-failure.ts';
import { fromConnection } from '../remote/connection-errors.ts';
import { GATEWAY_HINT } from '../remote/hints.ts';
import { ConditionRefused, refusesFeature } from '../remote/if-match.ts';
import { changedObject, missingObject } from '../remote/object-errors.ts';
import type { Refusal } from '../remote/refusal.ts';
import { retryAfterMs } from '../remote/retry-after.ts';
import { TransientError } from '../retry/policy.ts';
import { type ErrorAnswer, errorAnswerOf, isOfS3 } from './answer.ts';
import type { FailureContext } from './failure-context.ts';
import { NO_S3_HINT, PATH_STYLE } from './hints.ts';
import { refusalOf } from './refusals.ts';

/** Sorts whatever the SDK or a connection of ours threw. What is none of theirs is given back as it is. */
export function classifyError(error: unknown, context: FailureContext): unknown {
  if (error instanceof DatamoverError || error instanceof TransientError) return error;
  const answer = errorAnswerOf(error);
  if (answer !== undefined) return fromAnswer(answer, context);
  if (!(error instanceof Error)) return error;
  if (/^(CredentialsProvider|TokenProvider)Error$/.test(error.name)) return missingCredentials(error, context);
  const code = systemCode(error);
  // A token file that the chain was sent to.
  if (code !== undefined && 'syscall' in error && error.syscall === 'open') return missingCredentials(error, context);
  if (code === 'ERR_INVALID_CHAR') return malformedCredentials(error, context);
  // A call that cannot be made is a bug of ours.
  if (error instanceof TypeError || error instanceof RangeError) return error;
  if (code !== undefined) return fromConnection(code, error, context);
  // The SDK's own time limit for making a connection has no code.
  if (error.name === 'TimeoutError') return new TransientError('no connection was made in time', { cause: error });
  return fromSettings(error);
}

/**
 * What `error` means for a request that carried If-Match: a `ConditionRefused` of `failure` where the header may be the cause, else
 * `failure` as it is.
 */
export function conditionalFailure(error: unknown, failure: unknown): unknown {
  const answer = errorAnswerOf(error);
  if (answer === undefined || !(failure instanceof DatamoverError)) return failure;
  const { status, name } = answer;
  return status === 412 || refusesFeature(status, name) ? new ConditionRefused(failure) : failure;
}

/** The HTTP status of an error that the SDK made of an answer. */
export function statusOf(error: unknown): number | undefined {
  return errorAnswerOf(error)?.status;
}

/** The S3 error name (`NoSuchBucket`…) of an error that the SDK made of an answer. */
export function errorName(error: unknown): string | undefined {
  return errorAnswerOf(error)?.name;
}

function fromAnswer(answer: ErrorAnswer, context: FailureContext): DatamoverError | TransientError {
  const { status, name, requestId } = answer;
  const cause = new Error(`the server answered ${status} ${name}, request id ${requestId}`);
  const waitMs = retryAfterMs(answer.headers);
  const shown = name === 'Unknown' ? `${status}` : `${status} ${name}`;
  const final = ({ code, why, hint }: Refusal): DatamoverError =>
    new DatamoverError(code, `${context.where}: ${why} (${shown})`, { hint, cause });
  if (name === 'RequestTimeTooSkewed') {
    return new TransientError(`the clock is off (${shown})`, {
      retryNow: true,
      fewRetries: true,
      finalError: final(CLOCK),
    });
  }
  if (/^(NoSuchBucket|InvalidBucketName)$/.test(name)) return missingBucket(context, cause, answer);
  // A 404 without S3's own name is a gateway's before it, say, while it restarts. (HEAD's, which names nothing, does not come here.)
  if (/^(NoSuchKey|NoSuchVersion)$/.test(name)) return missingObject(context, cause);
  if (status === 404) {
    return new TransientError('the server answered 404 without an S3 error', { hint: NO_S3_HINT, cause });
  }
  if (status === 412 || status === 416) return changedObject(context.where, cause);
  if (isTransient(status, name)) {
    const hint = isOfS3(answer) || answer.text === '' ? undefined : GATEWAY_HINT;
    return new TransientError(`the server answered ${shown}`, { retryAfterMs: waitMs, hint, cause });
  }
  if (status < 300) {
    return new TransientError('the server sent something other than an S3 answer', {
      fewRetries: true,
      hint: NO_S3_HINT,
      cause,
    });
  }
  return final(refusalOf(answer, context));
}

const CLOCK: Refusal = {
  code: 'ACCESS_DENIED',
  why: "this machine's clock is too far off",
  hint: 'set the clock (NTP), then run the same command again',
};

function isTransient(status: number, name: string): boolean {
  if (/^(SlowDown|RequestTimeout|Throttling|ThrottlingException|TooManyRequests|InternalError)$/.test(name))
    return true;
  return isTransientStatus(status);
}

/** `answer`: the server's, which may name the bucket that it looked for. */
export function missingBucket(
  { bucket, bucketName, pathStyle }: FailureContext,
  cause?: Error,
  answer?: Pick<ErrorAnswer, 'text'>,
): DatamoverError {
  const sought = /<BucketName>([^<]*)<\/BucketName>/.exec(answer?.text ?? '')?.[1];
  const other = pathStyle === false && sought !== undefined && sought !== bucketName;
  return new DatamoverError('OBJECT_MISSING', `the ${bucket} does not exist`, {
    hint: other
      ? `add ${PATH_STYLE}: the server looked for another bucket, since it does not take the bucket from the host name`
      : 'check the name of the bucket, the endpoint and the region',
    ...(cause === undefined ? {} : { cause }),
  });
}

function missingCredentials(error: unknown, { where }: FailureContext): DatamoverError {
  return new DatamoverError('ACCESS_DENIED', `${where}: no credentials found`, {
    hint: 'name a credentialsFile (and profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    cause: error,
  });
}

function malformedCredentials(error: unknown, { where }: FailureContext): DatamoverError {
  return new DatamoverError('ACCESS_DENIED', `${where}: invalid character in the S3 credentials`, {
    hint: 'check the access key and the session token for a line break (a Secret created with echo ends with one)',
    cause: new Error(systemCode(error)),
  });
}

/** What the SDK finds wrong before it asks anything. */
function fromSettings(error: Error): Error {
  if (error.name === 'EndpointError' || error.name === 'InvalidBucketName') {
    return new DatamoverError('PLAN_INVALID', `the bucket's name, region and endpoint do not fit: ${error.message}`, {
      hint: 'check bucket, region and endpoint; servers other than those of AWS usually need forcePathStyle: true',
    });
  }
  return error;
}
