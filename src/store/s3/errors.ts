// What an S3 answer or a failed connection means: a DatamoverError, which is final, or a TransientError, which may pass.
// Messages are made of status, name and key only: the server's own text and the SDK's error may quote the request.
import { DatamoverError, type ErrorCode, systemCode } from '../../errors.ts';
import { TransientError } from '../retry/policy.ts';
import { ACCESS_HINTS, DEFAULT_ACCESS_HINT, PROXY_HINT, SSE_HINT } from './hints.ts';
import { ConditionRefused, refusesFeature } from './if-match.ts';

export interface FailureContext {
  /** What was asked for: `s3://bucket/prefix/key`. */
  readonly where: string;
  /** `bucket "x" at http://…`. */
  readonly bucket: string;
  /** The request carried If-Match. */
  readonly conditional?: boolean;
}

/** The facts of an error that the SDK threw for an HTTP answer. */
interface ServiceFailure {
  readonly status: number;
  /** `NoSuchKey`…; `Unknown` when the answer had no body to tell. */
  readonly name: string;
  readonly skewCorrected: boolean;
  readonly retryAfterMs: number | undefined;
  readonly cause: Error;
}

/** Sorts whatever the SDK or a connection of ours threw. What is none of theirs is given back as it is. */
export function sortFailure(error: unknown, context: FailureContext): unknown {
  if (error instanceof DatamoverError || error instanceof TransientError) return error;
  const service = serviceFailureOf(error);
  if (service !== undefined) {
    const failure = fromService(service, context);
    if (context.conditional !== true || !(failure instanceof DatamoverError)) return failure;
    const { status, name } = service;
    return status === 412 || refusesFeature(status, name) ? new ConditionRefused(failure) : failure;
  }
  if (!(error instanceof Error)) return error;
  if (/^(CredentialsProvider|TokenProvider)Error$/.test(error.name)) return noKeys(error, context);
  const code = systemCode(error);
  // A token file that the chain was sent to.
  if (code !== undefined && 'syscall' in error && error.syscall === 'open') return noKeys(error, context);
  if (code === 'ERR_INVALID_CHAR') return oddKeys(error, context);
  // A call that cannot be made is a bug of ours.
  if (error instanceof TypeError || error instanceof RangeError) return error;
  if (code !== undefined) return fromConnection(code, error, context);
  // The SDK's own time limit for making a connection has no code.
  if (error.name === 'TimeoutError') return new TransientError('no connection was made in time', { cause: error });
  return fromSettings(error);
}

/** The HTTP status of an error that the SDK made of an answer. */
export function statusOf(error: unknown): number | undefined {
  return serviceFailureOf(error)?.status;
}

/** The S3 error name (`NoSuchBucket`…) of an error that the SDK made of an answer. */
export function nameOf(error: unknown): string | undefined {
  return serviceFailureOf(error)?.name;
}

function serviceFailureOf(error: unknown): ServiceFailure | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  const status = metadata.httpStatusCode;
  if (typeof status !== 'number') return undefined;
  const name = /^[A-Za-z0-9.]{1,64}$/.test(error.name) && error.name !== 'Error' ? error.name : 'Unknown';
  const request = 'requestId' in metadata && typeof metadata.requestId === 'string' ? metadata.requestId : 'unknown';
  return {
    status,
    name,
    skewCorrected: 'clockSkewCorrected' in metadata && metadata.clockSkewCorrected === true,
    retryAfterMs: retryAfterOf(error),
    cause: new Error(`the server answered ${status} ${name}, request id ${request}`),
  };
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterOf(error: Error): number | undefined {
  if (!('$response' in error)) return undefined;
  const response = error.$response;
  if (typeof response !== 'object' || response === null || !('headers' in response)) return undefined;
  const { headers } = response;
  if (typeof headers !== 'object' || headers === null || !('retry-after' in headers)) return undefined;
  const text = String(headers['retry-after']).trim();
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function fromService(failure: ServiceFailure, context: FailureContext): DatamoverError | TransientError {
  const { status, name, cause, retryAfterMs } = failure;
  const answer = name === 'Unknown' ? `${status}` : `${status} ${name}`;
  const final = ({ code, why, hint }: Refusal): DatamoverError =>
    new DatamoverError(code, `${context.where}: ${why} (${answer})`, { hint, cause });
  if (failure.skewCorrected || name === 'RequestTimeTooSkewed') {
    return new TransientError(`the clock is off (${answer})`, { mended: true, unlikely: true, finally: final(CLOCK) });
  }
  if (/^(NoSuchBucket|InvalidBucketName)$/.test(name)) return missingBucket(context, cause);
  // A 404 without S3's own name is a gateway's before it, say, while it restarts. (HEAD's, which names nothing, does not come here.)
  if (/^(NoSuchKey|NoSuchVersion)$/.test(name)) return missingObject(context, cause);
  if (status === 404) return new TransientError('the server answered 404, without a word of S3', { cause });
  if (status === 412 || status === 416) return changedObject(context.where, cause);
  if (isTransient(status, name)) return new TransientError(`the server answered ${answer}`, { retryAfterMs, cause });
  if (status < 300) {
    return new TransientError('the server sent something else than an S3 answer', { unlikely: true, cause });
  }
  return final(refusalOf(status, name));
}

interface Refusal {
  readonly code: ErrorCode;
  readonly why: string;
  readonly hint: string;
}

const CLOCK: Refusal = {
  code: 'ACCESS_DENIED',
  why: "this machine's clock is too far off",
  hint: 'set the clock (NTP), then try again',
};

function refusalOf(status: number, name: string): Refusal {
  if (status < 400 || /^(AuthorizationHeaderMalformed|IllegalLocationConstraintException)$/.test(name)) {
    return {
      code: 'SOURCE_UNREACHABLE',
      why: 'the bucket is in another region or at another endpoint',
      hint: 'give the right region (source.s3.region, --region) and endpoint of the bucket',
    };
  }
  const accessHint = ACCESS_HINTS.get(name);
  if (status === 401 || status === 403 || accessHint !== undefined) {
    return { code: 'ACCESS_DENIED', why: 'access denied', hint: accessHint ?? DEFAULT_ACCESS_HINT };
  }
  if (status === 400 && /^(Invalid(Argument|Request|EncryptionAlgorithmError)|Unknown)$/.test(name)) {
    return { code: 'ACCESS_DENIED', why: 'the server refused the request', hint: SSE_HINT };
  }
  const hint = status === 407 ? PROXY_HINT : 'check endpoint, region and bucket; is this an S3 server?';
  return { code: 'SOURCE_UNREACHABLE', why: 'the server refused the request', hint };
}

function isTransient(status: number, name: string): boolean {
  if (/^(SlowDown|RequestTimeout|Throttling|ThrottlingException|TooManyRequests|InternalError)$/.test(name))
    return true;
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

export function missingObject({ where }: FailureContext, cause?: Error): DatamoverError {
  return new DatamoverError('OBJECT_MISSING', `${where} does not exist`, {
    hint: 'check the prefix and the name; `kubevirt-datamover list` shows what the backup holds',
    ...(cause === undefined ? {} : { cause }),
  });
}

export function missingBucket({ bucket }: FailureContext, cause?: Error): DatamoverError {
  return new DatamoverError('OBJECT_MISSING', `the ${bucket} does not exist`, {
    hint: 'check the name of the bucket, the endpoint and the region',
    ...(cause === undefined ? {} : { cause }),
  });
}

export function changedObject(where: string, cause?: Error): DatamoverError {
  return new DatamoverError('OBJECT_CHANGED', `${where} was replaced since the run began`, {
    hint: 'let whatever writes to the bucket finish, then start the same command again',
    ...(cause === undefined ? {} : { cause }),
  });
}

function noKeys(error: unknown, { where }: FailureContext): DatamoverError {
  return new DatamoverError('ACCESS_DENIED', `${where}: no credentials were found`, {
    hint: 'name a credentialsFile (and profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    cause: error,
  });
}

function oddKeys(error: unknown, { where }: FailureContext): DatamoverError {
  return new DatamoverError('ACCESS_DENIED', `${where}: the keys hold a character that no key has`, {
    hint: 'look for a line break in the access key and the session token (a Secret made with echo has one at its end)',
    cause: new Error(systemCode(error)),
  });
}

/** What the SDK finds wrong before it asks anything. */
function fromSettings(error: Error): Error {
  if (error.name === 'EndpointError' || error.name === 'InvalidBucketName') {
    return new DatamoverError('PLAN_INVALID', `the bucket's name, region and endpoint do not fit: ${error.message}`, {
      hint: 'check bucket, region and endpoint; a server of your own usually wants forcePathStyle: true',
    });
  }
  return error;
}

const CERTIFICATE =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|PATH_LENGTH_|ERROR_IN_|CRL_|UNSPECIFIED$)/;

/** Whatever has a code and came from a connection may pass, some of it not likely. */
function fromConnection(code: string, error: Error, { where }: FailureContext): DatamoverError | TransientError {
  if (CERTIFICATE.test(code)) {
    return new DatamoverError('SOURCE_UNREACHABLE', `${where}: the server's certificate is not trusted (${code})`, {
      hint: 'give the CA that signed it as caFile (source.s3.caFile, --ca-file), and the host name that it is made out to as endpoint',
      cause: error,
    });
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return new DatamoverError('SOURCE_UNREACHABLE', `${where}: the server does not speak TLS on this port`, {
      hint: 'if it speaks plain http, write the endpoint as http://…',
      cause: error,
    });
  }
  if (code === 'ERR_PROXY_TUNNEL' && 'statusCode' in error && error.statusCode === 407) {
    return new DatamoverError('SOURCE_UNREACHABLE', `${where}: the proxy refused the connection (407)`, {
      hint: PROXY_HINT,
      cause: error,
    });
  }
  const likely = /^(E[A-Z]+|EAI_[A-Z]+|ERR_STREAM_PREMATURE_CLOSE|ERR_PROXY_TUNNEL)$/.test(code) && code !== 'EPROTO';
  return new TransientError(code, { unlikely: !likely, cause: error });
}
