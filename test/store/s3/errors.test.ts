// What the SDK and connections throw, and what it means; the cases that no server here can be brought to make.
import { test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import { TransientError } from '../../../src/store/retry/policy.ts';
import { classifyError } from '../../../src/store/s3/errors.ts';
import { S3_NAMES } from '../../../src/store/s3/hints.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { rejectsWith } from '../../contract/store.ts';

const context = { where: 's3://b/k', bucket: 'bucket "b"', names: S3_NAMES };

function failure(fields: object, message = 'message'): Error {
  return Object.assign(new Error(message), fields);
}

function answer(status: number, name: string, headers: object = {}): Error {
  return failure({ name, $metadata: { httpStatusCode: status, requestId: 'r1' }, $response: { headers } });
}

test('what may pass', async (t) => {
  const cases: Error[] = [
    answer(500, 'InternalError'),
    answer(502, 'Unknown'),
    answer(503, 'SlowDown'),
    answer(408, 'RequestTimeout'),
    answer(200, 'SyntaxError'),
    failure({ name: 'TimeoutError' }, 'did not establish a connection'),
    failure({ name: 'TimeoutError', code: 'ECONNRESET' }),
    failure({ code: 'EAI_AGAIN' }),
    failure({ code: 'EACCES', syscall: 'connect' }),
    failure({ code: 'HPE_INVALID_CONSTANT' }),
    failure({ code: 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC' }),
    failure({ code: 'ERR_PROXY_TUNNEL' }),
    failure({ code: 'ERR_PROXY_TUNNEL', statusCode: 503 }),
    failure({ code: 'ERR_OSSL_EVP_UNSUPPORTED' }),
    failure({ code: 'SOMETHING_NEW' }),
    answer(404, 'Unknown'),
    // The SDK's name for a 404 that names nothing.
    answer(404, 'NotFound'),
  ];
  for (const error of cases) t.type(classifyError(error, context), TransientError, `${error.name} ${error.message}`);
});

test('what cannot', async (t) => {
  const cases: [Error, string][] = [
    [answer(404, 'NoSuchBucket'), 'OBJECT_MISSING'],
    [answer(404, 'NoSuchKey'), 'OBJECT_MISSING'],
    [failure({ code: 'ERR_INVALID_CHAR' }), 'ACCESS_DENIED'],
    [failure({ code: 'UNSPECIFIED' }), 'SOURCE_UNREACHABLE'],
    [failure({ code: 'PATH_LENGTH_EXCEEDED' }), 'SOURCE_UNREACHABLE'],
    [failure({ code: 'ERROR_IN_CERT_NOT_AFTER_FIELD' }), 'SOURCE_UNREACHABLE'],
    [failure({ code: 'ERR_PROXY_TUNNEL', statusCode: 407 }), 'SOURCE_UNREACHABLE'],
    [answer(403, 'Unknown'), 'ACCESS_DENIED'],
    [answer(401, 'Unknown'), 'ACCESS_DENIED'],
    [answer(407, 'Unknown'), 'SOURCE_UNREACHABLE'],
    [answer(302, 'Unknown'), 'SOURCE_UNREACHABLE'],
    [answer(505, 'Unknown'), 'SOURCE_UNREACHABLE'],
    [answer(418, 'Teapot'), 'SOURCE_UNREACHABLE'],
    [failure({ name: 'CredentialsProviderError' }), 'ACCESS_DENIED'],
    [failure({ code: 'ENOENT', syscall: 'open' }), 'ACCESS_DENIED'],
    [failure({ code: 'CERT_HAS_EXPIRED' }), 'SOURCE_UNREACHABLE'],
    [failure({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'SOURCE_UNREACHABLE'],
    [failure({ code: 'ERR_SSL_WRONG_VERSION_NUMBER' }), 'SOURCE_UNREACHABLE'],
    [failure({ name: 'EndpointError' }), 'PLAN_INVALID'],
    [failure({ name: 'InvalidBucketName' }), 'PLAN_INVALID'],
  ];
  for (const [error, code] of cases) {
    const sorted = classifyError(error, context);
    if (!(sorted instanceof DatamoverError)) throw new Error(`${error.name} was not sorted`);
    t.equal(sorted.code, code, `${error.name} ${error.message}: ${sorted.message}`);
    t.not(sorted.hint, '');
  }
});

test('Retry-After in seconds, as a date, and neither', async (t) => {
  const asked = (value: string): number | undefined => {
    const sorted = classifyError(answer(503, 'SlowDown', { 'retry-after': value }), context);
    return sorted instanceof TransientError ? sorted.options.retryAfterMs : undefined;
  };
  t.equal(asked('7'), 7_000);
  const date = asked(new Date(Date.now() + 100_000).toUTCString()) ?? 0;
  t.ok(date > 50_000 && date <= 100_000, `${date} ms`);
  t.equal(asked(new Date(0).toUTCString()), 0);
  t.equal(asked('soon'), undefined);
});

test('a server’s words and the request are not quoted', async (t) => {
  const error = answer(403, 'SignatureDoesNotMatch');
  Object.assign(error, { AWSAccessKeyId: 'AKIA', StringToSign: 'AWS4-HMAC', message: 'AKIA' });
  const sorted = classifyError(error, context);
  t.notMatch(JSON.stringify(sorted, Object.getOwnPropertyNames(sorted)), /AKIA|AWS4/);
  t.match(sorted, { cause: { message: 'the server answered 403 SignatureDoesNotMatch, request id r1' } });
  const odd = classifyError(answer(403, 'AKIA <script>'), context);
  t.match(odd, { message: 's3://b/k: access denied (403)' }, 'a name that is none');
});

test('what is no failure of S3 stays what it is', async (t) => {
  const bug = new TypeError('x is not a function');
  t.equal(classifyError(bug, context), bug);
  const coded = Object.assign(new TypeError('no string'), { code: 'ERR_INVALID_ARG_TYPE' });
  t.equal(classifyError(coded, context), coded);
  t.equal(classifyError('text', context), 'text');
});

test('no region, no endpoint', async (t) => {
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', HOME: '/nowhere' };
  const error = await rejectsWith(t, 'PLAN_INVALID', () => openS3Store({ bucket: 'b' }, { concurrency: 1, env }));
  t.match(error.message, 'no S3 region');
});
