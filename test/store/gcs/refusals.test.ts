// What refusals of Google Cloud Storage mean, by the codes and texts that Google documents.
import { test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import { gcsFailure } from '../../../src/store/gcs/errors.ts';
import { GCS_NAMES } from '../../../src/store/gcs/hints.ts';
import type { Identity } from '../../../src/store/gcs/identity.ts';
import { errorAnswerOf } from '../../../src/store/remote/error-answer.ts';
import { TransientError } from '../../../src/store/retry/policy.ts';

const MACHINE: Identity = { from: 'the metadata service', credentials: { kind: 'metadata', host: 'x' } };

interface Given {
  readonly identity?: Identity | undefined;
  readonly detail?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly page?: string;
}

function failureOf(status: number, code: string, given: Given = {}): unknown {
  const { detail = '', headers = { 'x-guploader-uploadid': 'u1' }, page } = given;
  const identity = 'identity' in given ? given.identity : MACHINE;
  const text =
    page ??
    `<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code><Message>${detail} SECRET</Message></Error>`;
  const answer = errorAnswerOf({ status, headers, body: Buffer.from(text) });
  return gcsFailure(answer, { where: 'gs://backups/key', bucket: 'bucket "backups"', identity, names: GCS_NAMES });
}

const CASES: readonly [number, string, Given, string, RegExp, RegExp][] = [
  [
    403,
    'AccessDenied',
    {},
    'ACCESS_DENIED',
    /identity of the metadata service may not read/,
    /objectViewer.*objects.get.*objects.list/,
  ],
  [
    403,
    'AccessDenied',
    { identity: undefined },
    'ACCESS_DENIED',
    /no credentials found/,
    /GOOGLE_APPLICATION_CREDENTIALS/,
  ],
  [401, 'AuthenticationRequired', {}, 'ACCESS_DENIED', /token of the metadata service is not accepted/, /clock/],
  [401, '', { page: '', headers: {} }, 'ACCESS_DENIED', /is not accepted \(401\)/, /clock/],
  [400, 'ExpiredToken', {}, 'ACCESS_DENIED', /is not accepted \(400 ExpiredToken\)/, /clock/],
  [403, 'SecurityPolicyViolated', {}, 'ACCESS_DENIED', /service perimeter/, /ingress/],
  [
    403,
    'AccessDenied',
    { detail: "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x" },
    'ACCESS_DENIED',
    /service perimeter/,
    /ingress/,
  ],
  [403, 'CloudKmsDisabledKey', {}, 'ACCESS_DENIED', /Cloud KMS key/, /enabled/],
  [
    400,
    'ResourceIsEncryptedWithCustomerEncryptionKey',
    {},
    'ACCESS_DENIED',
    /key that the client provided/,
    /copy the backup/,
  ],
  [400, 'UserProjectMissing', {}, 'ACCESS_DENIED', /requester pays/, /no-requester-pays/],
  [403, 'AccountProblem', {}, 'ACCESS_DENIED', /disabled or unpaid/, /billing/],
  [404, 'NoSuchBucket', {}, 'OBJECT_MISSING', /the bucket "backups" does not exist/, /name of the bucket/],
  [404, 'NoSuchKey', {}, 'OBJECT_MISSING', /gs:\/\/backups\/key does not exist/, /list/],
  [412, 'PreconditionFailed', {}, 'OBJECT_CHANGED', /was replaced/, /./],
  [416, 'InvalidRange', {}, 'OBJECT_CHANGED', /was replaced/, /./],
  [
    301,
    '',
    { headers: { location: 'https://www.example.com/login?SECRET' }, page: '' },
    'SOURCE_UNREACHABLE',
    /redirects to https:\/\/www.example.com \(301\)/,
    /storage.googleapis.com/,
  ],
  [403, '', { headers: { server: 'squid/5' }, page: '<html>' }, 'SOURCE_UNREACHABLE', /a proxy refused/, /HTTPS_PROXY/],
  [403, '', { headers: {}, page: '<html>' }, 'SOURCE_UNREACHABLE', /not Google Cloud Storage/, /source.gcs.endpoint/],
  [400, 'InvalidArgument', {}, 'SOURCE_UNREACHABLE', /refused the request/, /source.gcs.endpoint/],
];

test('final answers', async (t) => {
  for (const [status, code, given, kind, message, hint] of CASES) {
    const failure = failureOf(status, code, given);
    t.type(failure, DatamoverError, `${status} ${code}`);
    t.match(failure, { code: kind, message, hint }, `${status} ${code}`);
    if (failure instanceof DatamoverError) t.notMatch(`${failure.message} ${failure.hint} ${failure.cause}`, /SECRET/);
  }
});

test('answers that may pass', async (t) => {
  for (const [status, code] of [
    [408, 'RequestTimeout'],
    [429, 'SlowDown'],
    [500, 'InternalError'],
    [503, 'ServiceUnavailable'],
  ] as const) {
    const failure = failureOf(status, code, { headers: { 'retry-after': '3' } });
    t.type(failure, TransientError);
    t.match(failure, { message: `the server answered ${status} ${code}`, options: { retryAfterMs: 3000 } });
  }
  t.type(failureOf(404, '', { headers: {}, page: '<html>' }), TransientError, 'a gateway');
});
