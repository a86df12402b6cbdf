// What Azure's refusals mean, by the codes and texts that Microsoft documents and Azurite answers.
import { test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import { azureFailure } from '../../../src/store/azure/errors.ts';
import { AZURE_NAMES } from '../../../src/store/azure/hints.ts';
import type { Identity } from '../../../src/store/azure/identity.ts';
import { errorAnswerOf } from '../../../src/store/remote/error-answer.ts';
import { TransientError } from '../../../src/store/retry/policy.ts';

const KEY: Identity = { kind: 'key', from: '/credentials/cloud', key: Buffer.from('secret') };
const ENTRA: Identity = { kind: 'entra', from: 'x', identity: { kind: 'managed' } };
const sas = (query: string): Identity => ({ kind: 'sas', from: '/sas', query: `sv=2024-11-04&sig=SECRET&${query}` });
const SAS = sas('sr=c&sp=rl&se=2099-01-01T00:00:00Z');

function failureOf(status: number, code: string, identity: Identity | undefined, detail = ''): unknown {
  const text = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${detail} SECRET</Message></Error>`;
  const answer = errorAnswerOf({ status, headers: { 'x-ms-request-id': 'r1' }, body: Buffer.from(text) });
  const where = 'azure://acct/backups/key';
  return azureFailure(answer, {
    where,
    container: 'container "backups" of account acct',
    account: 'acct',
    identity,
    names: AZURE_NAMES,
  });
}

const DENIED = 'ACCESS_DENIED';
const CASES: readonly [number, string, Identity | undefined, string, string, RegExp, RegExp][] = [
  [
    403,
    'AuthenticationFailed',
    KEY,
    'The MAC signature found in the HTTP request is not the same as any computed signature.',
    DENIED,
    /the account key is wrong/,
    /\/credentials\/cloud .*credentialsFile/,
  ],
  [403, 'AuthenticationFailed', KEY, 'Request date header too old', DENIED, /clock is too far off/, /NTP/],
  [
    403,
    'AuthenticationFailed',
    SAS,
    'Signature not valid in the specified time frame',
    DENIED,
    /has expired/,
    /sasTokenFile/,
  ],
  [403, 'AuthenticationFailed', SAS, 'Signature did not match.', DENIED, /signature was refused/, /rotated/],
  [
    403,
    'AuthenticationFailed',
    sas('se=2020-01-01T00:00:00Z'),
    '',
    DENIED,
    /expired at 2020-01-01T00:00:00/,
    /generate-sas/,
  ],
  [
    403,
    'AuthenticationFailed',
    sas('st=2098-01-01T00:00:00Z&se=2099-01-01T00:00:00Z'),
    '',
    DENIED,
    /not valid before 2098/,
    /clock/,
  ],
  [
    403,
    'AuthorizationPermissionMismatch',
    sas('sr=c&sp=r'),
    '',
    DENIED,
    /does not permit list \(l\)/,
    /--permissions rl/,
  ],
  [403, 'AuthorizationResourceTypeMismatch', sas('sr=b&sp=rl'), '', DENIED, /not for a container/, /sasTokenFile/],
  [403, 'AuthorizationProtocolMismatch', SAS, '', DENIED, /https only/, /https/],
  [403, 'AuthorizationPermissionMismatch', ENTRA, '', DENIED, /may not read blobs/, /Storage Blob Data Reader/],
  [
    401,
    'InvalidAuthenticationInfo',
    ENTRA,
    'Issuer validation failed. Issuer did not match.',
    DENIED,
    /another tenant/,
    /AZURE_TENANT_ID/,
  ],
  [
    401,
    'InvalidAuthenticationInfo',
    ENTRA,
    'Lifetime validation failed. The token is expired.',
    DENIED,
    /token has expired/,
    /clock/,
  ],
  [401, 'NoAuthenticationInformation', undefined, '', DENIED, /no credentials/, /AZURE_STORAGE_KEY/],
  [
    403,
    'AuthorizationFailure',
    KEY,
    'This request is not authorized to perform this operation.',
    DENIED,
    /does not accept requests from here/,
    /firewall/,
  ],
  [
    403,
    'KeyBasedAuthenticationNotPermitted',
    KEY,
    '',
    DENIED,
    /does not accept account keys/,
    /Storage Blob Data Reader/,
  ],
  [403, 'AccountIsDisabled', KEY, '', DENIED, /disabled/, /Azure/],
  [409, 'BlobArchived', KEY, '', DENIED, /archive tier/, /set-tier/],
  [409, 'BlobBeingRehydrated', KEY, '', DENIED, /being rehydrated/, /wait/],
  [409, 'BlobUsesCustomerSpecifiedEncryption', KEY, '', DENIED, /key that the client provided/, /copy/],
  [403, 'KeyVaultEncryptionKeyNotFound', KEY, '', DENIED, /key vault/, /enabled/],
  [400, 'AccountRequiresHttps', KEY, '', 'SOURCE_UNREACHABLE', /requires https/, /source\.azure\.endpoint/],
  [400, 'InvalidHeaderValue', KEY, '', 'SOURCE_UNREACHABLE', /version of the Blob service/, /2021-02-12/],
  [
    404,
    'ContainerNotFound',
    KEY,
    '',
    'OBJECT_MISSING',
    /container "backups" of account acct does not exist/,
    /account/,
  ],
  [404, 'BlobNotFound', KEY, '', 'OBJECT_MISSING', /key does not exist/, /list/],
  [412, 'ConditionNotMet', KEY, '', 'OBJECT_CHANGED', /replaced/, /same command/],
];

test('final answers', async (t) => {
  for (const [status, code, identity, detail, kind, message, hint] of CASES) {
    const failure = failureOf(status, code, identity, detail);
    const name = `${status} ${code} ${detail}`;
    if (!(failure instanceof DatamoverError)) throw new Error(name);
    t.match(failure, { code: kind, message, hint }, name);
    t.notMatch(`${failure.message} ${failure.hint} ${String(failure.cause)}`, /SECRET/, `${name}: nothing secret`);
  }
});

test('what may pass', async (t) => {
  for (const [status, code] of [
    [503, 'ServerBusy'],
    [500, 'InternalError'],
    [500, 'OperationTimedOut'],
    [429, 'TooManyRequests'],
    [408, ''],
  ] as const) {
    t.type(failureOf(status, code, KEY), TransientError, `${status} ${code}`);
  }
});
