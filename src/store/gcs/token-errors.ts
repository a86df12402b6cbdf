// What failed requests for a token mean. By the names of errors that Google documents; the words of its services are not shown.
import { DatamoverError, systemCode } from '../../errors.ts';
import { fromConnection } from '../remote/connection-errors.ts';
import type { ConnectionContext } from '../remote/failure-context.ts';
import { TransientError } from '../retry/policy.ts';
import { CREDENTIALS } from './hints.ts';
import type { Identity } from './identity.ts';
import { noCredentials } from './refusals.ts';
import { NoToken } from './token-request.ts';
import { isOfClock } from './tokens.ts';

/** A failure of whatever gives tokens: a DatamoverError, which is final, or a TransientError. */
export function tokenFailure(error: unknown, context: ConnectionContext, identity: Identity | undefined): unknown {
  if (error instanceof DatamoverError || error instanceof TransientError || !(error instanceof Error)) return error;
  if (error instanceof NoToken) return refused(error, context, identity);
  const code = systemCode(error);
  if (code === undefined || error instanceof TypeError || error instanceof RangeError) return error;
  if (identity?.credentials.kind === 'metadata') {
    // Off Google Cloud no host has that name. On GKE the service of a new pod takes some seconds to start.
    const finalError = missing(context, error);
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return finalError;
    return new TransientError('the metadata service does not answer', { fewRetries: true, finalError });
  }
  return connectionFailure(error, code, context);
}

function refused(error: NoToken, context: ConnectionContext, identity: Identity | undefined): unknown {
  const { service, status, code } = error;
  const shown = code === '' ? `${status}` : `${status} ${code}`;
  if (status === 408 || status === 429 || status >= 500) return new TransientError(`the ${service} answered ${shown}`);
  const final = (why: string, hint: string): DatamoverError =>
    new DatamoverError('ACCESS_DENIED', `${context.where}: ${why} (${shown})`, {
      hint,
      cause: new Error(error.message),
    });
  if (service === 'metadata service') {
    // It answers 404 to a machine without a service account.
    return status === 404
      ? final('this machine has no service account', noCredentials().hint)
      : missing(context, error);
  }
  if (isOfClock(error)) {
    return final("this machine's clock is too far off", 'set the clock (NTP), then run the same command again');
  }
  const from = identity?.from ?? CREDENTIALS;
  if (service === 'service of the other identity') {
    return final(`${from}: the service of credential_source gave no token`, `check credential_source in ${from}`);
  }
  const known = REASONS.find(([codes, words]) => codes.test(code) && words.test(error.description));
  if (known === undefined) return final(`${from}: no token was given`, IDENTITY_HINT);
  return final(`${from}: ${known[2]}`, known[3]);
}

const IDENTITY_HINT = `check that the identity exists and is enabled; select another with ${CREDENTIALS}`;
const KEY_HINT = `create a new key (gcloud iam service-accounts keys create), and name its file with ${CREDENTIALS}`;

/** The name of the error, words of its description, what they mean, what to change. */
const REASONS: readonly (readonly [RegExp, RegExp, string, string])[] = [
  [
    /^invalid_grant$/,
    /signature|key/i,
    'the key of the service account is not accepted: deleted, disabled or another one',
    KEY_HINT,
  ],
  [
    /^invalid_grant$/,
    /account (?:not found|deleted|disabled)/i,
    'the service account does not exist or is disabled',
    IDENTITY_HINT,
  ],
  [
    /^invalid_grant$|^invalid_rapt$/,
    /expired or revoked|reauth|rapt/i,
    'the login has expired',
    'run `gcloud auth application-default login`',
  ],
  [
    /^invalid_grant$/,
    /subject|token|issuer|audience|credential/i,
    'the token of the other identity is not accepted',
    'check audience, subject_token_type and credential_source, the attribute mapping of the provider, and that the token has not expired',
  ],
  [
    /^(?:invalid_target|invalid_request)$/,
    /./s,
    'the workload identity pool or provider does not exist or does not accept this token',
    'check audience in the credentials file, and the state of the provider',
  ],
  [
    /^(?:invalid_client|unauthorized_client|access_denied)$/,
    /./s,
    'the identity is not authorized to request tokens',
    IDENTITY_HINT,
  ],
  [
    /^PERMISSION_DENIED$/,
    /./s,
    'the identity may not use the service account that it impersonates',
    'grant it roles/iam.workloadIdentityUser on that service account',
  ],
  [
    /^NOT_FOUND$/,
    /./s,
    'the service account that the identity impersonates does not exist',
    'check service_account_impersonation_url',
  ],
];

function missing({ where }: ConnectionContext, cause: Error): DatamoverError {
  const { code, why, hint } = noCredentials();
  return new DatamoverError(code, `${where}: ${why}`, { hint, cause: strip(cause) });
}

/** An error of Node's client holds the request, with its secrets. */
function strip(error: Error): Error {
  return new Error(error.message);
}

function connectionFailure(error: Error, code: string, context: ConnectionContext): DatamoverError | TransientError {
  const tokenContext = {
    where: `${context.where}: requesting a token`,
    names: { ...context.names, endpoint: 'token_uri or token_url of the credentials file' },
  };
  const cause = 'hostname' in error ? { code, hostname: error.hostname } : { code };
  const failure = fromConnection(code, Object.assign(strip(error), cause), tokenContext);
  if (failure instanceof DatamoverError) return failure;
  return new TransientError(`requesting a token: ${failure.message}`, failure.options);
}
