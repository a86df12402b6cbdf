// TLS with a CA of one's own, and proxies from the environment.
import { readFileSync, writeFileSync } from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { type Test, test } from 'tap';
import type { RetryEvent } from '../../../src/progress.ts';
import type { S3Options } from '../../../src/s3-options.ts';
import { FileSink, makeBatchBuffers } from '../../../src/staged/file-sink.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, patternedBytes, readAll, rejectsWith, storeContract } from '../../contract/store.ts';
import { type Certificates, makeCertificates } from '../../helpers/certificates.ts';
import { startGatherer } from '../../helpers/gatherer.ts';
import { type Peer, startPeer } from '../../helpers/peer.ts';
import { startProxy } from '../../helpers/proxy.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../../helpers/rgw.ts';
import { QUICK } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;
const SIZE = 5_000_000;
const OBJECT = patternedBytes(SIZE);

interface Server {
  readonly rgw: Rgw;
  readonly bucket: string;
  readonly peer: Peer;
  readonly certificates: Certificates;
}

async function startServer(t: Test, name?: string): Promise<Server> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', OBJECT);
  const certificates = makeCertificates(tempFolder(t), name);
  const peer = await startPeer({ upstream: rgw.endpoint, tls: certificates }, t);
  return { rgw, bucket, peer, certificates };
}

async function open(t: Test, options: S3Options, env: Record<string, string>): Promise<ObjectStore> {
  const onRetry = ({ reason }: RetryEvent): void => {
    t.fail(`tried again: ${reason}`);
  };
  const store = await openS3Store(options, { concurrency: 2, env, policy: { ...QUICK, stallMs: 10_000 }, onRetry });
  t.teardown(() => store.close());
  return store;
}

/** Everything once; the body through a sink that is busy again and again. */
async function useAll(t: Test, store: ObjectStore, name: string): Promise<void> {
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 3, length: size - 3, etag, size, signal };
  const busy = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  t.ok((await readAll(store, 'object', range)).equals(OBJECT.subarray(3)), `${name}: read`);
  const slow = await readAll(store, 'object', range, { step: 50_001, busy });
  t.ok(slow.equals(OBJECT.subarray(3)), `${name}: read, with a busy sink`);
  t.ok(OBJECT.equals(await store.get('object', { maxBytes: SIZE, signal })), `${name}: get`);
  t.same((await listed(store, '')).length, 1, `${name}: list`);
}

test('a CA of one’s own: as a file, as text, not at all, not checked', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const { rgw, bucket, peer, certificates } = await startServer(t);
  const base = { bucket, endpoint: peer.endpoint };
  await useAll(t, await open(t, { ...base, caFile: certificates.caFile }, rgw.env), 'caFile');
  await useAll(t, await open(t, { ...base, caPem: certificates.ca }, rgw.env), 'caPem');
  await useAll(t, await open(t, { ...base, insecureSkipTLSVerify: true }, rgw.env), 'not checked');
  const store = await open(t, base, rgw.env);
  const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
  for (const ask of [
    () => store.head('object', { signal }),
    () => readAll(store, 'object', range),
    () => listed(store, ''),
  ]) {
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', ask, 'not trusted, not tried again');
    t.match(error.message, 'certificate is not trusted');
    t.match(error.hint, 'caFile');
  }
});

test('the contract', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  await storeContract(t, 's3 over TLS', async (t) => {
    const { rgw, bucket, peer, certificates } = await startServer(t);
    const endpoint = await startGatherer(t, peer.endpoint);
    const options = { bucket, endpoint, caFile: certificates.caFile };
    const store = await openS3Store(options, { concurrency: 2, env: rgw.env, policy: QUICK });
    t.teardown(() => store.close());
    await rgw.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'object' }));
    return {
      store,
      put: (key, bytes) => rgw.put(bucket, key, bytes),
      remove: async (key) => void (await rgw.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))),
      cutBodies: (after) => {
        peer.plan = ({ method }) => (method === 'GET' && after !== undefined ? { kind: 'cut', after } : undefined);
      },
    };
  });
});

test('bodies that are cut while the file they go into is slow', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const { rgw, bucket, peer, certificates } = await startServer(t);
  const endpoint = await startGatherer(t, peer.endpoint);
  const options = { bucket, endpoint, caFile: certificates.caFile };
  const store = await openS3Store(options, { concurrency: 2, env: rgw.env, policy: QUICK });
  t.teardown(() => store.close());
  const { etag, size } = await store.head('object', { signal });
  const path = join(tempFolder(t), 'file');
  // A batch is full, and the one before it is still being written, when the last bytes before the cut have come.
  for (const after of [2_097_152, 3_145_728]) {
    peer.plan = ({ method, range }) => (method === 'GET' && range?.first === 0 ? { kind: 'cut', after } : undefined);
    const handle = slowly(await openFile(path, 'w'));
    const sink = new FileSink({
      handle,
      offset: 0,
      buffers: makeBatchBuffers(),
      readsZero: false,
      solid: 0,
      onBytes: () => {},
    });
    await store.read('object', { offset: 0, length: size, etag, size, signal }, sink);
    t.equal(await sink.finish(), crc32(OBJECT), `after ${after}: what passed through`);
    await handle.close();
    t.ok(readFileSync(path).equals(OBJECT), `after ${after}: what is in the file`);
  }
});

/** The same file, whose first write is slower than another attempt. */
function slowly(handle: FileHandle): FileHandle {
  const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>;
  return Object.assign(handle, {
    write: async (...args: unknown[]) => {
      if (args.at(-1) === 0) await delay(1_500);
      return await write(...args);
    },
  });
}

test('a certificate for another host', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const { rgw, bucket, peer, certificates } = await startServer(t, 'DNS:elsewhere.example');
  const store = await open(t, { bucket, endpoint: peer.endpoint, caFile: certificates.caFile }, rgw.env);
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => store.head('object', { signal }));
  t.match(error.message, 'ERR_TLS_CERT_ALTNAME_INVALID');
});

test('a certificate that is too weak', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const certificates = makeCertificates(tempFolder(t), 'IP:127.0.0.1', { weak: true });
  const tls = { ...certificates, ciphers: 'DEFAULT@SECLEVEL=0' };
  const peer = await startPeer({ upstream: rgw.endpoint, tls }, t);
  const store = await open(t, { bucket: 'b', endpoint: peer.endpoint, caFile: certificates.caFile }, rgw.env);
  const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
  for (const ask of [() => store.head('object', { signal }), () => readAll(store, 'object', range)]) {
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', ask);
    t.match(error.message, 'certificate is not trusted');
  }
});

test('https to a port that speaks http', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const endpoint = rgw.endpoint.replace('http:', 'https:');
  const store = await openS3Store({ bucket: 'b', endpoint }, { concurrency: 2, env: rgw.env, policy: QUICK });
  t.teardown(() => store.close());
  const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
  for (const ask of [() => store.head('object', { signal }), () => readAll(store, 'object', range)]) {
    await rejectsWith(t, 'SOURCE_UNREACHABLE', ask);
  }
});

test('a CA file that cannot be used', async (t) => {
  const folder = tempFolder(t);
  const caFile = join(folder, 'ca.pem');
  const base = { bucket: 'b', endpoint: 'https://127.0.0.1:9', caFile };
  await rejectsWith(t, 'PLAN_INVALID', () => open(t, base, {}), 'not there');
  for (const text of ['', 'hello', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n']) {
    writeFileSync(caFile, text);
    await rejectsWith(t, 'PLAN_INVALID', () => open(t, base, {}), JSON.stringify(text));
  }
});

test('through a proxy, http and https', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const { rgw, bucket, peer, certificates } = await startServer(t);
  const proxy = await startProxy(t);
  const withLogin = proxy.url.replace('http://', 'http://me:geheim@');
  const plain = await open(t, { bucket, endpoint: rgw.endpoint }, { ...rgw.env, http_proxy: withLogin });
  await useAll(t, plain, 'http');
  t.match(proxy.asked[0], `HEAD ${rgw.endpoint}/${bucket}/object`);
  t.equal(proxy.asked.length, 5, 'every request');
  t.equal(proxy.logins[0], `Basic ${Buffer.from('me:geheim').toString('base64')}`);
  const before = proxy.asked.length;
  const env = { ...rgw.env, HTTPS_PROXY: proxy.url.replace('http://', '') };
  const secure = await open(t, { bucket, endpoint: peer.endpoint, caFile: certificates.caFile }, env);
  await useAll(t, secure, 'https');
  t.equal(proxy.asked[before], `CONNECT ${peer.endpoint.replace('https://', '')}`);
});

test('a proxy that wants a login', async (t) => {
  const proxy = await startProxy(t, { closed: true });
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', HTTPS_PROXY: proxy.url };
  const store = await open(t, { bucket: 'b', endpoint: 'https://s3.example' }, env);
  const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
  for (const ask of [() => store.head('object', { signal }), () => readAll(store, 'object', range)]) {
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', ask, 'told at once');
    t.match(error.hint, 'the proxy requires a login: put user and password into HTTP_PROXY and HTTPS_PROXY');
  }
});

test('NO_PROXY', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', OBJECT);
  const proxy = await startProxy(t);
  const env = { ...rgw.env, HTTP_PROXY: proxy.url, NO_PROXY: 'other.example, 127.0.0.1' };
  await useAll(t, await open(t, { bucket, endpoint: rgw.endpoint }, env), 'excepted');
  t.same(proxy.asked, []);
});
