// What a final answer means: code, reason and what to change. By what Azure documents and what Azurite answers (fixtures/answers).
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
import { explainSas } from './explain-sas.ts';
import { AZURE_NAMES, AZURE_REQUEST_ID, CREDENTIALS, ENDPOINT, ROLE_HINT, SAS } from './hints.ts';
import type { Identity } from './identity.ts';

export interface RefusalContext {
  readonly account: string;
  /** What the request was authorized with. */
  readonly identity: Identity | undefined;
}

type Rule = (answer: ErrorAnswer, context: RefusalContext) => Refusal | undefined;

export function refusalOf(answer: ErrorAnswer, context: RefusalContext): Refusal {
  return (
    firstRefusal(RULES, answer, context) ??
    unreachable('the server refused the request', `check ${ENDPOINT}, the account and the container`)
  );
}

const RULES: readonly Rule[] = [notAzure, archived, encryption, account, clock, tenant, sas, rights, keys, version];

/** What a web server, a gateway or a proxy answers in its own name. */
function notAzure(answer: ErrorAnswer): Refusal | undefined {
  const { status, headers } = answer;
  if (isOfService(answer, AZURE_REQUEST_ID)) return undefined;
  const onTheWay = proxyLogin(answer) ?? clientCertificate(answer, AZURE_NAMES) ?? proxyRules(answer);
  if (onTheWay !== undefined) return onTheWay;
  if (status >= 300 && status < 400) {
    const to = URL.parse(headers.location ?? '');
    return unreachable(
      `the server redirects ${to === null ? 'elsewhere' : `to ${to.origin}`}`,
      `set ${ENDPOINT} to the blob endpoint of the account`,
    );
  }
  return unreachable(
    'a web server or proxy answered, not Azure Blob Storage',
    `check ${ENDPOINT}, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY`,
  );
}

function archived({ code }: ErrorAnswer): Refusal | undefined {
  if (code === 'BlobBeingRehydrated') {
    const hint = 'wait until the blob is back in an online tier (hours), then run the same command again';
    return denied('the blob is being rehydrated from the archive tier', hint);
  }
  if (code !== 'BlobArchived') return undefined;
  return denied(
    'the blob is in the archive tier',
    'rehydrate it first (az storage blob set-tier --tier Hot, which takes hours), then run the same command again',
  );
}

function encryption({ code }: ErrorAnswer): Refusal | undefined {
  if (/^BlobUses?CustomerSpecifiedEncryption|^CustomerSpecifiedEncryption/i.test(code)) {
    const why = 'the blob is encrypted with a key that the client provided';
    return denied(why, 'copy the backup to a container without customer-provided keys; kubevirt-datamover sends none');
  }
  if (!/^KeyVault/i.test(code)) return undefined;
  return denied(
    "the key vault's key of the account cannot be used",
    'check that the key of the key vault exists, is enabled, and that the account may use it',
  );
}

function account({ code, status }: ErrorAnswer, { account: name }: RefusalContext): Refusal | undefined {
  if (/^(AccountIsDisabled|AccountBeingCreated|InsufficientAccountPermissions)$/.test(code)) {
    return denied(
      `the storage account ${name} is disabled or may not be read`,
      'check the state of the account in Azure',
    );
  }
  if (code === 'KeyBasedAuthenticationNotPermitted') {
    const hint = `use an identity with the role "Storage Blob Data Reader" in ${CREDENTIALS}, or a user delegation SAS in ${SAS}`;
    return denied('the storage account does not accept account keys', hint);
  }
  if (code === 'AccountRequiresHttps') {
    return unreachable('the storage account requires https', `set ${ENDPOINT} to an https URL`);
  }
  if (code === 'PublicAccessNotPermitted' || code === 'NoAuthenticationInformation') return noCredentials();
  if (/^(InvalidUri|ResourceTypeMismatch|InvalidResourceName)$/.test(code) && status === 400) {
    return { code: 'PLAN_INVALID', why: 'the account, container or prefix is invalid', hint: 'check all three names' };
  }
  return undefined;
}

function clock({ text, status }: ErrorAnswer): Refusal | undefined {
  if (status !== 403 || !/Request date header too old|time skew|is not within the allowed/i.test(text))
    return undefined;
  return denied("this machine's clock is too far off", 'set the clock (NTP), then run the same command again');
}

function tenant({ text, code, headers }: ErrorAnswer, { identity }: RefusalContext): Refusal | undefined {
  if (identity?.kind !== 'entra') return undefined;
  if (code !== 'InvalidAuthenticationInfo' && code !== 'AuthenticationFailed') return undefined;
  if (/Lifetime validation failed|token is expired/i.test(text)) {
    return denied('the token has expired', 'check the clock of this machine (`date`), then run the same command again');
  }
  if (!/Issuer validation failed|Audience validation failed|tenant/i.test(text + (headers['www-authenticate'] ?? ''))) {
    return undefined;
  }
  const hint = `set AZURE_TENANT_ID in ${CREDENTIALS} or the environment to the tenant of the storage account's subscription`;
  return denied('the identity is of another tenant than the storage account', hint);
}

function sas(answer: ErrorAnswer, { identity }: RefusalContext): Refusal | undefined {
  if (identity?.kind !== 'sas' || (answer.status !== 403 && answer.status !== 401)) return undefined;
  const { why, hint } = explainSas(identity.query, answer, Date.now());
  return denied(why, hint);
}

function rights({ code, text }: ErrorAnswer, { identity, account: name }: RefusalContext): Refusal | undefined {
  if (code === 'AuthorizationPermissionMismatch') return denied('this identity may not read blobs', ROLE_HINT);
  const byNetwork = code === 'AuthorizationFailure' && !/failed to authenticate/i.test(text);
  if (!byNetwork && code !== 'AuthorizationSourceIPMismatch') return undefined;
  const role = identity?.kind === 'entra' ? `; or ${ROLE_HINT}` : '';
  return denied(
    `the storage account ${name} does not accept requests from here`,
    `allow this network in the firewall of the account, or use its private endpoint${role}`,
  );
}

function keys({ status }: ErrorAnswer, { identity, account: name }: RefusalContext): Refusal | undefined {
  if (status !== 401 && status !== 403) return undefined;
  if (identity === undefined) return noCredentials();
  if (identity.kind === 'key') {
    const hint = `check that the key of ${identity.from} is one of account ${name} and was not rotated (az storage account keys list); select another with ${CREDENTIALS}`;
    return denied('the account key is wrong', hint);
  }
  return denied('access denied', ROLE_HINT);
}

function version({ code, status }: ErrorAnswer): Refusal | undefined {
  if (status !== 400 || !/^(InvalidHeaderValue|UnsupportedHeader|UnsupportedHttpVerb)$/.test(code)) return undefined;
  const hint = `check ${ENDPOINT}: the server must support version 2021-02-12 of the Blob service, or later`;
  return unreachable('the server does not support this version of the Blob service', hint);
}

export function noCredentials(): Refusal {
  return denied(
    'no credentials found',
    `name a file with ${CREDENTIALS} or ${SAS}, or set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; docs/environment.md has all variables`,
  );
}
