// What a final answer means: code, reason and what to change. By what Google documents of the XML API; not recorded from its service.
import { isOfService } from '../remote/answer-failure.ts';
import type { ErrorAnswer } from '../remote/error-answer.ts';
import {
  clientCertificate,
  denied,
  firstRefusal,
  proxyLogin,
  proxyRules,
  type Refusal,
  unreachable,
} from '../remote/refusal.ts';
import { CREDENTIALS, ENDPOINT, GCS_NAMES, GCS_REQUEST_ID, ROLE_HINT } from './hints.ts';
import type { Identity } from './identity.ts';

export interface RefusalContext {
  /** Whose token the request had. */
  readonly identity: Identity | undefined;
}

type Rule = (answer: ErrorAnswer, context: RefusalContext) => Refusal | undefined;

export function refusalOf(answer: ErrorAnswer, context: RefusalContext): Refusal {
  return (
    firstRefusal(RULES, answer, context) ??
    unreachable('the server refused the request', `check ${ENDPOINT} and the name of the bucket`)
  );
}

const RULES: readonly Rule[] = [notGcs, redirect, encryption, payer, perimeter, account, token, rights];

/** What a web server, a gateway or a proxy answers in its own name. */
function notGcs(answer: ErrorAnswer): Refusal | undefined {
  const { status } = answer;
  if (isOfService(answer, GCS_REQUEST_ID) || status === 401) return undefined;
  const onTheWay = proxyLogin(answer) ?? clientCertificate(answer, GCS_NAMES) ?? proxyRules(answer);
  if (onTheWay !== undefined) return onTheWay;
  if (status >= 300 && status < 400) return undefined;
  return unreachable(
    'a web server or proxy answered, not Google Cloud Storage',
    `check ${ENDPOINT}, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY`,
  );
}

function redirect({ status, headers }: ErrorAnswer): Refusal | undefined {
  if (status < 300 || status >= 400) return undefined;
  const to = URL.parse(headers.location ?? '');
  return unreachable(
    `the server redirects ${to === null ? 'elsewhere' : `to ${to.origin}`}`,
    `set ${ENDPOINT} to https://storage.googleapis.com, or remove it`,
  );
}

function encryption({ code }: ErrorAnswer): Refusal | undefined {
  if (/CustomerEncryption/.test(code)) {
    return denied(
      'the object is encrypted with a key that the client provided',
      'copy the backup to a bucket without customer-supplied keys; kubevirt-datamover sends none',
    );
  }
  if (!/^CloudKms/.test(code)) return undefined;
  return denied(
    'the Cloud KMS key of the object cannot be used',
    'check that the key version exists and is enabled, and that the service agent of Cloud Storage may use it',
  );
}

function payer({ code }: ErrorAnswer): Refusal | undefined {
  if (!/^UserProject/.test(code)) return undefined;
  return denied(
    'the bucket charges its readers (requester pays)',
    'disable requester pays on the bucket for the restore: gcloud storage buckets update gs://BUCKET --no-requester-pays',
  );
}

function perimeter({ code, text }: ErrorAnswer): Refusal | undefined {
  if (code !== 'SecurityPolicyViolated' && !/vpcServiceControls|organization's policy/i.test(text)) return undefined;
  return denied(
    'a service perimeter or policy of the organization does not allow requests from here',
    'run the restore inside of the perimeter, or add an ingress rule for this identity',
  );
}

function account({ code }: ErrorAnswer): Refusal | undefined {
  if (!/^(AccountProblem|BillingNotEnabled|InvalidSecurity|AccountDisabled)$/.test(code)) return undefined;
  return denied('the project of the bucket is disabled or unpaid', 'check the state and the billing of the project');
}

function token({ status, code }: ErrorAnswer, context: RefusalContext): Refusal | undefined {
  if (status !== 401 && !/^(ExpiredToken|InvalidToken|AuthenticationRequired)$/.test(code)) return undefined;
  if (context.identity === undefined) return noCredentials();
  return denied(
    `the token of ${context.identity.from} is not accepted`,
    `check that the identity exists and is enabled, and the clock of this machine (\`date\`); select another with ${CREDENTIALS}`,
  );
}

function rights({ status }: ErrorAnswer, { identity }: RefusalContext): Refusal | undefined {
  if (status !== 403) return undefined;
  if (identity === undefined) return noCredentials();
  return denied(`${nameOf(identity)} may not read the bucket, or this object of it`, ROLE_HINT);
}

/** The e-mail address of a service account is what a role is granted to. */
function nameOf({ from, credentials }: Identity): string {
  return credentials.kind === 'service-account' ? `service account ${credentials.email}` : `the identity of ${from}`;
}

export function noCredentials(): Refusal {
  return denied(
    'no credentials found',
    `name the JSON key of a service account with ${CREDENTIALS} or GOOGLE_APPLICATION_CREDENTIALS; docs/environment.md has all variables`,
  );
}
