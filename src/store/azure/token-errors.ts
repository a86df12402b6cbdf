// What failed requests for a token mean. By the codes that Microsoft Entra documents (AADSTS…); its words are not shown.
import { DatamoverError, systemCode } from '../../errors.ts';
import { fromConnection } from '../remote/connection-errors.ts';
import type { ConnectionContext } from '../remote/failure-context.ts';
import { TransientError } from '../retry/policy.ts';
import { NoAccountKey } from './account-key.ts';
import { CREDENTIALS, ROLE_HINT } from './hints.ts';
import { noCredentials } from './refusals.ts';

/** A failure of whatever gives credentials: a DatamoverError, which is final, or a TransientError. */
export function tokenFailure(error: unknown, context: ConnectionContext, managed: boolean): unknown {
  if (error instanceof DatamoverError || error instanceof TransientError) return error;
  if (!(error instanceof Error)) return error;
  if (error instanceof NoAccountKey) return keyRefused(error, context);
  const number = aadstsOf(error);
  const known = number === undefined ? undefined : REASONS.find(([numbers]) => numbers.includes(number));
  if (known !== undefined) return final(`${known[1]} (AADSTS${number})`, known[2], context, error);
  if (number !== undefined) {
    return final(`Microsoft Entra refused the identity (AADSTS${number})`, IDENTITY_HINT, context, error);
  }
  const code = codeOf(error);
  // Outside of Azure no service answers there.
  if (managed) {
    const { why, hint } = noCredentials();
    return final(why, hint, context, error);
  }
  if (code !== undefined) return connectionFailure(error, code, context);
  const status = statusOf(error);
  if (status !== undefined && status !== 408 && status !== 429 && status < 500) {
    return final(`the authority answered ${status} to the request for a token`, AUTHORITY_HINT, context, error);
  }
  if (status !== undefined)
    return new TransientError(`the authority answered ${status} to the request for a token`, { cause: strip(error) });
  if (/PEM|certificate|private key|passphrase|decrypt|asn1|DECODER/i.test(error.message)) {
    const hint = `check AZURE_CLIENT_CERTIFICATE, its _PATH and _PASSWORD in ${CREDENTIALS}: PEM with certificate and private key`;
    return final('the client certificate cannot be used', hint, context, error);
  }
  return final('no token was given', IDENTITY_HINT, context, error);
}

const IDENTITY_HINT = `check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret, certificate or token in ${CREDENTIALS} or the environment`;
const AUTHORITY_HINT = 'check AZURE_AUTHORITY_HOST and AZURE_TENANT_ID, and that the identity exists';
const SECRET_HINT = `create a new secret (az ad app credential reset), and put its value, not its id, as AZURE_CLIENT_SECRET into ${CREDENTIALS}`;

/** Codes, what they mean, what to change. */
const REASONS: readonly (readonly [readonly number[], string, string])[] = [
  [[7000215], 'the client secret is wrong', SECRET_HINT],
  [[7000222], 'the client secret has expired', SECRET_HINT],
  [[90002, 900023, 50059], 'the tenant does not exist', `check AZURE_TENANT_ID in ${CREDENTIALS} or the environment`],
  [
    [700016, 700051],
    'the application does not exist in this tenant',
    `check that AZURE_CLIENT_ID and AZURE_TENANT_ID in ${CREDENTIALS} or the environment belong together`,
  ],
  [
    [700024, 70021, 700211, 700212, 700213],
    'the federated token is not accepted for this identity',
    'check the federated credential of the identity (issuer, subject, audience), and that AZURE_FEDERATED_TOKEN_FILE is current',
  ],
  [[700027, 7000218], 'the client certificate is not registered for this application', IDENTITY_HINT],
  [[500011, 650057], 'the storage service is not known in this tenant', `check AZURE_TENANT_ID and source.azure.cloud`],
];

/** The number of the first `AADSTS` code in the answer. */
function aadstsOf(error: Error): number | undefined {
  const number = /AADSTS(\d{4,8})/.exec(error.message)?.[1];
  return number === undefined ? undefined : Number(number);
}

function keyRefused(error: NoAccountKey, context: ConnectionContext): unknown {
  if (error.status === 429 || error.status >= 500) return new TransientError(error.message);
  const why = `this identity may neither read blobs nor list the keys of the account (${error.status})`;
  return final(why, ROLE_HINT, context, error);
}

function final(why: string, hint: string, { where }: ConnectionContext, cause: Error): DatamoverError {
  return new DatamoverError('ACCESS_DENIED', `${where}: ${why}`, { hint, cause: strip(cause) });
}

/** The library's errors hold the request, with secret or assertion. */
function strip(error: Error): Error {
  return new Error(error.name);
}

function codeOf(error: Error): string | undefined {
  for (let each: unknown = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth += 1) {
    const code = systemCode(each);
    if (code !== undefined && /^(E[A-Z_]+|ERR_|CERT_|UNABLE_|SELF_SIGNED|DEPTH_ZERO|REQUEST_SEND_ERROR)/.test(code)) {
      if (code !== 'REQUEST_SEND_ERROR') return code;
    }
  }
  // The library keeps the code in its text alone.
  return /\b(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|CERT_HAS_EXPIRED|UNABLE_TO_[A-Z_]+|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT)\b/.exec(
    error.message,
  )?.[1];
}

function connectionFailure(error: Error, code: string, context: ConnectionContext): DatamoverError | TransientError {
  const failure = fromConnection(code, Object.assign(strip(error), { code }), authorityContext(context));
  if (failure instanceof DatamoverError) return failure;
  return new TransientError(`requesting a token: ${failure.message}`, failure.options);
}

function authorityContext(context: ConnectionContext): ConnectionContext {
  return {
    where: `${context.where}: requesting a token`,
    names: { ...context.names, endpoint: 'AZURE_AUTHORITY_HOST' },
  };
}

function statusOf(error: Error): number | undefined {
  for (let each: unknown = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth += 1) {
    const status = 'statusCode' in each ? each.statusCode : 'status' in each ? each.status : undefined;
    if (typeof status === 'number') return status;
  }
  return undefined;
}
