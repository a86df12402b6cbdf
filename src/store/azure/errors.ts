// How Azure names what is wrong. By its documentation and what Azurite answers (fixtures/answers).
import type { DatamoverError } from '../../errors.ts';
import { answerFailure, type ServiceErrors } from '../remote/answer-failure.ts';
import type { ErrorAnswer } from '../remote/error-answer.ts';
import type { ConnectionContext } from '../remote/failure-context.ts';
import type { TransientError } from '../retry/policy.ts';
import { AZURE_REQUEST_ID, NO_AZURE_HINT } from './hints.ts';
import { type RefusalContext, refusalOf } from './refusals.ts';

export interface FailureContext extends ConnectionContext, RefusalContext {
  /** `container "x" of account y at https://…`. */
  readonly container: string;
}

const AZURE: ServiceErrors = {
  anError: 'an Azure error',
  requestId: AZURE_REQUEST_ID,
  missingBucket: /^Container(NotFound|BeingDeleted|Disabled)$/,
  missingBucketHint: 'check the name of the container, the account and the endpoint',
  transient: /^(ServerBusy|InternalError|OperationTimedOut)$/,
  wrongServerHint: NO_AZURE_HINT,
};

export function azureFailure(answer: ErrorAnswer, context: FailureContext): DatamoverError | TransientError {
  const { where, container: bucket } = context;
  return answerFailure(answer, AZURE, { where, bucket, refusal: () => refusalOf(answer, context) });
}
