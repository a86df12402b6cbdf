// How Google Cloud Storage names what is wrong. By what Google documents of the XML API; not recorded from its service.
import type { DatamoverError } from '../../errors.ts';
import { answerFailure, type ServiceErrors } from '../remote/answer-failure.ts';
import type { ErrorAnswer } from '../remote/error-answer.ts';
import type { ConnectionContext } from '../remote/failure-context.ts';
import type { TransientError } from '../retry/policy.ts';
import { GCS_REQUEST_ID, NO_GCS_HINT } from './hints.ts';
import { type RefusalContext, refusalOf } from './refusals.ts';

export interface FailureContext extends ConnectionContext, RefusalContext {
  /** `bucket "x" at https://…`. */
  readonly bucket: string;
}

const GCS: ServiceErrors = {
  anError: 'an error of Google Cloud Storage',
  requestId: GCS_REQUEST_ID,
  missingBucket: /^(NoSuchBucket|InvalidBucketName)$/,
  missingBucketHint: 'check the name of the bucket and the endpoint (gcloud storage buckets list)',
  transient: /^(SlowDown|InternalError|ServiceUnavailable|RequestTimeout|TooManyRequests)$/,
  wrongServerHint: NO_GCS_HINT,
};

export function gcsFailure(answer: ErrorAnswer, context: FailureContext): DatamoverError | TransientError {
  const { where, bucket } = context;
  return answerFailure(answer, GCS, { where, bucket, refusal: () => refusalOf(answer, context) });
}
