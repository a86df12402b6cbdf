// Keys, buckets, prefixes, encryption: what a person gets wrong, and what the store says then.
import { existsSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { test } from 'tap';
import { runBounded } from '../../../src/concurrency.ts';
import type { S3Options } from '../../../src/s3-options.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, patternedBytes, readAll, rejectsWith } from '../../contract/store.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';
import { QUICK, storeBehindPeer } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;
const open = (options: S3Options, env = {}) => openS3Store(options, { concurrency: 2, env, policy: QUICK });

test('a bucket that is not there, and a key that is not', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  const { endpoint, env } = rgw;
  const none = await open({ bucket: `${bucket}-none`, endpoint }, env);
  const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
  for (const ask of [
    () => none.head('a', { signal }),
    () => none.get('a', { maxBytes: 1, signal }),
    () => listed(none, ''),
    () => readAll(none, 'a', range),
  ]) {
    const error = await rejectsWith(t, 'OBJECT_MISSING', ask);
    t.match(error.message, `the bucket "${bucket}-none" at ${endpoint} does not exist`);
  }
  const store = await open({ bucket, endpoint, prefix: 'p/' }, env);
  const error = await rejectsWith(t, 'OBJECT_MISSING', () => store.head('a', { signal }));
  t.equal(error.message, `s3://${bucket}/p/a does not exist`);
  t.same(await listed(store, ''), [], 'a prefix that is not there holds nothing');
});

test('keys from a file, a profile, the environment; wrong ones', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const { endpoint, accessKey, secretKey } = rgw;
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', 'bytes');
  const file = join(tempFolder(t), 'cloud');
  writeFileSync(
    file,
    `\uFEFF# Velero's\r\n[default]\r\naws_access_key_id=${accessKey}\r\naws_secret_access_key=${secretKey}\r\n
[wrong]\naws_access_key_id = ${accessKey}\naws_secret_access_key = not-${secretKey}\n
[unknown]\naws_access_key_id = someone-else\naws_secret_access_key = ${secretKey}\n[empty]\n`,
  );
  const misleading = { AWS_ACCESS_KEY_ID: 'other', AWS_SECRET_ACCESS_KEY: 'other', AWS_PROFILE: 'wrong' };
  const store = await open({ bucket, endpoint, credentialsFile: file }, misleading);
  t.equal((await store.head('object', { signal })).size, 5, 'the file wins over the environment');
  const cases: [string, RegExp][] = [
    ['wrong', /SignatureDoesNotMatch/],
    ['unknown', /InvalidAccessKeyId/],
    ['empty', /no credentials found/],
  ];
  for (const [profile, why] of cases) {
    const denied = await open({ bucket, endpoint, credentialsFile: file, profile });
    const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
    for (const ask of [
      () => denied.head('object', { signal }),
      () => denied.get('object', { maxBytes: 9, signal }),
      () => listed(denied, ''),
      () => readAll(denied, 'object', range),
    ]) {
      const error = await rejectsWith(t, 'ACCESS_DENIED', ask, profile);
      t.match(error.message, why);
      const shown = inspect(error, { depth: 20, showHidden: true });
      t.notMatch(shown, secretKey, 'no secret in the error');
      t.notMatch(shown, accessKey, 'nor an access key');
      t.notMatch(shown, 'Signature=');
    }
  }
});

test('a credentials file that cannot be used', async (t) => {
  const folder = tempFolder(t);
  const file = join(folder, 'cloud');
  const witness = join(folder, 'witness');
  const base = { bucket: 'b', endpoint: 'http://127.0.0.1:9', credentialsFile: file };
  const missing = await rejectsWith(t, 'PLAN_INVALID', () => open(base), 'not there');
  t.match(missing.message, file);
  const texts: [string, RegExp][] = [
    [`[default]\ncredential_process = touch ${witness}\n`, /credential_process/],
    [`[default]\nsso_session = corp\n`, /sso_session/],
    ['[default]\ncredential_source = Ec2InstanceMetadata\n', /credential_source/],
    ['[other]\naws_access_key_id=a\n', /section \[default\] not found in .*, which has \[other\]/],
    ['aws_access_key_id=a\n', /:1: no section found/],
  ];
  for (const [text, why] of texts) {
    writeFileSync(file, text);
    const error = await rejectsWith(t, 'PLAN_INVALID', () => open(base), JSON.stringify(text));
    t.match(error.message, why);
  }
  writeFileSync(
    file,
    `[default]\naws_access_key_id=a\naws_secret_access_key=b\n[other]\n Credential_Process=touch ${witness}\n`,
  );
  const other = await rejectsWith(t, 'PLAN_INVALID', () => open({ ...base, profile: 'other' }));
  t.match(other.message, `${file}:5: credential_process of [other] is not supported`);
  const unused = await open(base);
  await t.rejects(
    unused.head('object', { signal }),
    { code: 'SOURCE_UNREACHABLE' },
    'a profile that is not used is none of its business',
  );
  await unused.close();
  t.notOk(existsSync(witness), 'nothing was run');
});

test('a file that turns bad while the program runs is refused too', async (t) => {
  const folder = tempFolder(t);
  const file = join(folder, 'cloud');
  writeFileSync(file, '[default]\naws_access_key_id=a\naws_secret_access_key=b\n');
  const store = await open({ bucket: 'b', endpoint: 'http://127.0.0.1:9', credentialsFile: file });
  writeFileSync(file, `[default]\ncredential_process = touch ${join(folder, 'witness')}\n`);
  await rejectsWith(t, 'PLAN_INVALID', () => store.head('object', { signal }));
  t.notOk(existsSync(join(folder, 'witness')));
});

test('keys that expire are read again', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const file = join(tempFolder(t), 'cloud');
  const write = (key: string, token: string): void =>
    writeFileSync(
      file,
      `[default]\naws_access_key_id=${key}\naws_secret_access_key=${rgw.secretKey}\naws_session_token=${token}\n`,
    );
  write('old', 'old');
  const { store, peer, retries } = await storeBehindPeer(
    t,
    { object: patternedBytes(1000) },
    {
      options: { credentialsFile: file },
    },
  );
  let left = 2;
  peer.plan = () => {
    if (left-- <= 0) return undefined;
    write(rgw.accessKey, 'new');
    return { kind: 'status', status: 400, code: 'ExpiredToken' };
  };
  t.equal((await store.head('object', { signal })).size, 1000);
  t.match(retries[0]?.reason, 'the session token expired');
  left = 9;
  peer.plan = () => (left-- > 0 ? { kind: 'status', status: 400, code: 'ExpiredToken' } : undefined);
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.get('object', { maxBytes: 1000, signal }));
  t.equal(left, 8, 'the same keys are not tried again');
  t.match(error.hint, 'get new credentials');
});

test('keys that expire under many reads at a time', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const file = join(tempFolder(t), 'cloud');
  const write = (token: string): void =>
    writeFileSync(
      file,
      `[default]\naws_access_key_id=${rgw.accessKey}\naws_secret_access_key=${rgw.secretKey}\naws_session_token=${token}\n`,
    );
  write('old');
  const bytes = patternedBytes(32_000);
  const { store, peer } = await storeBehindPeer(t, { object: bytes }, { options: { credentialsFile: file } });
  const { etag, size } = await store.head('object', { signal });
  // All are signed with the old token before the first of them is refused; half of them learn it late.
  peer.plan = ({ method, range, nth }) => {
    if (method !== 'GET' || nth > 1) return undefined;
    const late = (range?.first ?? 0) % 2000 === 0;
    return { kind: 'status', status: 400, code: 'ExpiredToken', ...(late ? { afterMs: 300 } : {}) };
  };
  write('new');
  const offsets = Array.from({ length: 32 }, (_, index) => index * 1000);
  await runBounded(offsets, { limit: 32, signal }, async (offset, inner) => {
    const got = await readAll(store, 'object', { offset, length: 1000, etag, size, signal: inner });
    t.ok(got.equals(bytes.subarray(offset, offset + 1000)), `at ${offset}`);
  });
  t.equal(peer.count('GET'), 64, 'each of them was asked again once');
});

test('a service that gives no keys and no answer', async (t) => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const env = { AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${address.port}` };
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const folder = tempFolder(t);
  const token = join(folder, 'token');
  writeFileSync(token, 'token');
  const file = join(folder, 'cloud');
  writeFileSync(file, `[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = ${token}\n`);
  const policy = { ...QUICK, stallMs: 1_000, unansweredMs: 1_500 };
  const options = { bucket: 'b', endpoint: 'http://127.0.0.1:9', credentialsFile: file };
  const range = { offset: 0, length: 1, etag: '"x"', size: 1 };
  const asks: [string, (store: ObjectStore, signal: AbortSignal) => Promise<unknown>][] = [
    ['head', (store, signal) => store.head('k', { signal })],
    ['get', (store, signal) => store.get('k', { maxBytes: 1, signal })],
    ['list', (store, signal) => listed(store, '', signal)],
    ['read', (store, signal) => readAll(store, 'k', { ...range, signal })],
  ];
  for (const [name, ask] of asks) {
    const store = await openS3Store(options, { concurrency: 2, env, policy });
    const began = performance.now();
    await rejectsWith(t, 'SOURCE_UNREACHABLE', () => ask(store, signal), name);
    t.ok(performance.now() - began < 5_000, `${name} is given up`);
    await store.close();
    const patient = await openS3Store(options, {
      concurrency: 2,
      env,
      policy: { ...policy, unansweredMs: 60_000 },
    });
    const stop = new AbortController();
    const reason = new Error('the user wants to stop');
    server.once('connection', () => setImmediate(() => stop.abort(reason)));
    await t.rejects(ask(patient, stop.signal), reason, `${name} can be cancelled`);
    await patient.close();
  }
});

test('keys with a line break', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', 'bytes');
  const { endpoint, accessKey, secretKey } = rgw;
  const echoed = { AWS_ACCESS_KEY_ID: `${accessKey}\n`, AWS_SECRET_ACCESS_KEY: `${secretKey}\r\n` };
  const store = await open({ bucket, endpoint }, echoed);
  t.equal((await store.head('object', { signal })).size, 5, 'at its end it is none of the key’s');
  await store.close();
  for (const env of [
    { AWS_ACCESS_KEY_ID: 'a\nb', AWS_SECRET_ACCESS_KEY: 'b' },
    { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_SESSION_TOKEN: 'geheim\nx' },
  ]) {
    const odd = await open({ bucket, endpoint }, env);
    const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
    for (const ask of [
      () => odd.head('object', { signal }),
      () => odd.get('object', { maxBytes: 9, signal }),
      () => listed(odd, ''),
      () => readAll(odd, 'object', range),
    ]) {
      const error = await rejectsWith(t, 'ACCESS_DENIED', ask);
      t.match(error.hint, 'line break');
      t.notMatch(inspect(error, { depth: 20, showHidden: true }), 'geheim');
    }
    await odd.close();
  }
});

test('keys whose renewal fails for a while', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const file = join(tempFolder(t), 'cloud');
  const write = (token: string): void =>
    writeFileSync(
      file,
      `[default]\naws_access_key_id=${rgw.accessKey}\naws_secret_access_key=${rgw.secretKey}\naws_session_token=${token}\n`,
    );
  write('old');
  const policy = { ...QUICK, silentMs: 1_500 };
  const { store, peer, retries } = await storeBehindPeer(
    t,
    { object: patternedBytes(1000) },
    { policy, options: { credentialsFile: file } },
  );
  peer.plan = () => {
    if (peer.requests.length > 3) return undefined;
    if (peer.requests.length === 3) write('new');
    else writeFileSync(file, '[defau');
    return { kind: 'status', status: 400, code: 'ExpiredToken' };
  };
  t.equal((await store.get('object', { maxBytes: 1000, signal })).length, 1000);
  t.match(retries[0]?.reason, 'no new one could be obtained');
  writeFileSync(file, '[defau');
  peer.plan = () => ({ kind: 'status', status: 400, code: 'ExpiredToken' });
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.get('object', { maxBytes: 1000, signal }));
  t.match(error.hint, 'get new credentials');
});

test('a clock that is off is put right', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, peer, retries } = await storeBehindPeer(t, { object: patternedBytes(1000) });
  const date = new Date(Date.now() + 3_600_000).toUTCString();
  peer.plan = ({ index }) =>
    index === 1 ? { kind: 'status', status: 403, code: 'RequestTimeTooSkewed', date } : undefined;
  t.equal((await store.get('object', { maxBytes: 1000, signal })).length, 1000);
  t.ok(retries.length >= 2, 'by the wrong clock first, then by the server');
  t.ok(retries.every(({ waitMs }) => waitMs === 0));
});

test('HEAD hides its cause: another request tells it, or does its work', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, peer } = await storeBehindPeer(t, { object: patternedBytes(1000) });
  peer.plan = ({ method }) => ({ kind: 'status', status: 403, code: method === 'HEAD' ? '' : 'InvalidObjectState' });
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('object', { signal }));
  t.match(error.message, 'InvalidObjectState');
  t.match(error.hint, 'archive');
  peer.plan = ({ method }) => (method === 'HEAD' ? { kind: 'status', status: 403 } : undefined);
  const info = await store.head('object', { signal });
  t.equal(info.size, 1000, 'HEAD alone is forbidden');
  const range = { offset: 5, length: 10, etag: info.etag, size: 1000, signal };
  t.ok((await readAll(store, 'object', range)).equals(patternedBytes(1000).subarray(5, 15)));
});

test('objects under a key of the customer (SSE-C)', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const { endpoint, env } = rgw;
  const bucket = await rgw.createBucket();
  const folder = tempFolder(t);
  const key = patternedBytes(32, 7);
  const bytes = patternedBytes(200_000);
  const keys: [string, Uint8Array][] = [
    ['right', key],
    ['wrong', patternedBytes(32, 8)],
    ['line', Buffer.concat([key, Buffer.from('\n')])],
    ['lines', Buffer.concat([key, Buffer.from('\r\n\r\n')])],
    ['base64', Buffer.from(key.toString('base64'))],
    ['hex', Buffer.from(`${key.toString('hex')}\n`)],
    ['33', Buffer.concat([key, Buffer.from('x')])],
    ['31', key.subarray(1)],
  ];
  for (const [name, content] of keys) writeFileSync(join(folder, name), content);
  const sse = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key.toString('base64') };
  await rgw.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'object', Body: bytes, ...sse }));
  const store = await open({ bucket, endpoint, sseCustomerKeyFile: join(folder, 'right') }, env);
  const { etag, size } = await store.head('object', { signal });
  const got = await readAll(store, 'object', { offset: 1000, length: 150_000, etag, size, signal });
  t.ok(got.equals(bytes.subarray(1000, 151_000)));
  for (const options of [{}, { sseCustomerKeyFile: join(folder, 'wrong') }]) {
    const locked = await open({ bucket, endpoint, ...options }, env);
    const error = await rejectsWith(t, 'ACCESS_DENIED', () => locked.head('object', { signal }));
    t.match(error.hint, 'sseCustomerKeyFile');
    t.notMatch(inspect(error, { depth: 20 }), key.toString('base64'));
  }
  for (const name of ['line', 'lines']) {
    const lines = await open({ bucket, endpoint, sseCustomerKeyFile: join(folder, name) }, env);
    t.equal((await lines.head('object', { signal })).size, size, name);
    await lines.close();
  }
  for (const [name, length, hint] of [
    ['base64', 44, 'base64 -d'],
    ['hex', 65, 'xxd'],
    ['33', 33, '32 bytes'],
    ['31', 32 - 1, '32 bytes'],
  ] as const) {
    const file = join(folder, name);
    const error = await rejectsWith(t, 'PLAN_INVALID', () => open({ bucket, endpoint, sseCustomerKeyFile: file }, env));
    t.equal(error.message, `${file}: invalid SSE-C key: expected 32 bytes, got ${length}`);
    t.match(error.hint, hint);
    t.notMatch(inspect(error, { depth: 20 }), key.toString('base64'));
  }
  const none = { bucket, endpoint, sseCustomerKeyFile: join(folder, 'none') };
  await rejectsWith(t, 'PLAN_INVALID', () => open(none, env));
});

test('a listing of more than a thousand keys', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  const names = Array.from({ length: 1_050 }, (_, index) => `n${String(index).padStart(5, '0')}`);
  const keyOf = (name: string): string => (Number(name.slice(1)) % 2 === 0 ? `p/${name}` : `p/${name}/x`);
  const each = (limit: number, work: (name: string) => Promise<unknown>): Promise<void> =>
    runBounded(names, { limit, signal }, async (name) => void (await work(name)));
  await each(16, (name) => rgw.put(bucket, keyOf(name), 'x'));
  const store = await open({ bucket, endpoint: rgw.endpoint, prefix: 'p' }, rgw.env);
  const entries = await listed(store, '');
  t.same(
    entries.filter(({ kind }) => kind === 'object').map(({ key }) => key),
    names.filter((_, index) => index % 2 === 0),
  );
  t.same(
    entries.filter(({ kind }) => kind === 'prefix').map(({ key }) => key),
    names.filter((_, index) => index % 2 === 1).map((name) => `${name}/`),
  );
  // One at a time, as the helper would, it takes the server most of a minute.
  await each(16, (name) => rgw.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: keyOf(name) })));
});

test('an endpoint that is none', async (t) => {
  for (const endpoint of ['minio.local:9000', '127.0.0.1', 'ftp://host', 'https://user:geheim@host', 'http://h/?a=b']) {
    const error = await rejectsWith(t, 'PLAN_INVALID', () => open({ bucket: 'b', endpoint }), endpoint);
    t.notMatch(error.message, 'geheim');
  }
  const fromEnvironment = { AWS_ENDPOINT_URL: '127.0.0.1:9000' };
  const odd = await rejectsWith(t, 'PLAN_INVALID', () => open({ bucket: 'b' }, fromEnvironment));
  t.match(odd.hint, 'AWS_ENDPOINT_URL');
  const proxy = { HTTP_PROXY: 'socks5://me:geheim@p' };
  t.notMatch((await rejectsWith(t, 'USAGE', () => open({ bucket: 'b' }, proxy))).message, 'geheim');
});
