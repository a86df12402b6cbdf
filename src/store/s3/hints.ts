// What to change when an S3 server refuses: each hint names the flag and the key of the plan.
import type { SourceNames } from '../remote/failure-context.ts';
import { otherScheme as otherSchemeOf } from '../remote/hints.ts';

export const ENDPOINT = '--endpoint (source.s3.endpoint)';
export const REGION = '--region (source.s3.region)';
const KEYS = '--credentials-file (source.s3.credentialsFile) and --profile (source.s3.profile)';
export const SSE_KEY = '--sse-customer-key-file (source.s3.sseCustomerKeyFile)';
export const PATH_STYLE = '--path-style (source.s3.forcePathStyle: true)';

export const S3_NAMES: SourceNames = {
  endpoint: ENDPOINT,
  caFile: '--ca-file (source.s3.caFile)',
  pathStyle: PATH_STYLE,
};

export const DEFAULT_ACCESS_HINT = `check that these keys may read (s3:GetObject) and list (s3:ListBucket) the bucket; select others with ${KEYS}`;

export const NO_S3_HINT = `check ${ENDPOINT}: a web server, a web console or a proxy answers there, not an S3 server`;

const NEW_KEYS = `get new credentials, then set ${KEYS} or AWS_SESSION_TOKEN`;

/** By S3's name for the error. */
export const ACCESS_HINTS: ReadonlyMap<string, string> = new Map([
  ['InvalidAccessKeyId', `the server does not know the access key: check ${KEYS}, and ${ENDPOINT}`],
  [
    'SignatureDoesNotMatch',
    `the secret key is wrong: check ${KEYS} (a # in the file is part of the key unless a space precedes it)`,
  ],
  ['ExpiredToken', `the session token has expired: ${NEW_KEYS}`],
  ['TokenRefreshRequired', `the session token has expired: ${NEW_KEYS}`],
  ['InvalidToken', `the session token is invalid: ${NEW_KEYS}`],
  ['AccountProblem', 'the account is locked or unpaid: ask its owner'],
]);

/** The same endpoint with the other scheme, as a hint to type. */
export function otherScheme(endpoint: string | undefined): string {
  return otherSchemeOf(S3_NAMES, endpoint);
}
