// Ranged GETs that pass the SDK by are the same requests: signed for every key, with the keys and the clock of the moment.
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { patternedBytes, readAll, rejectsWith } from '../../contract/store.ts';
import type { Peer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';
import { QUICK, storeBehindPeer } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;
const BYTES = patternedBytes(3000);

/** Reads the object in three parts. */
async function readInParts(store: ObjectStore, key: string): Promise<Buffer> {
  const { etag, size } = await store.head(key, { signal });
  const parts: Buffer[] = [];
  for (const offset of [0, 1000, 2000]) {
    parts.push(await readAll(store, key, { offset, length: 1000, etag, size, signal }));
  }
  return Buffer.concat(parts);
}

/** Of the ranged GETs, in order. */
function sentHeader(peer: Peer, name: string): (string | undefined)[] {
  return peer.requests.filter(({ range }) => range !== undefined).map(({ headers }) => headers[name]?.toString());
}

const KEYS = [
  'plain.qcow2',
  'a space, a + and %41',
  'ünïcödé 日本 🖴',
  'a/b.c/.d',
  'quotes \' " ` and (brackets) [too] {three}',
  'question?mark#hash&and=equals;semi:colon@at,comma',
  'tilde~star*bang!dollar$caret^pipe|less<more>',
  'back\\slash',
  '%2F%2f%',
];

test('a server takes the signature of a ranged GET of any key', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  for (const prefix of ['', 'a prefix//of ü+%']) {
    const objects = Object.fromEntries(KEYS.map((key) => [prefix === '' ? key : `${prefix}/${key}`, BYTES]));
    const { store, peer, retries } = await storeBehindPeer(t, objects, { options: { prefix } });
    for (const key of KEYS) t.ok((await readInParts(store, key)).equals(BYTES), key);
    t.same(retries, []);
    const marks = sentHeader(peer, 'amz-sdk-invocation-id');
    t.equal(marks.length, 3 * KEYS.length);
    t.ok(
      marks.every((mark) => mark === undefined),
      'none of them came from the SDK',
    );
  }
});

test('the condition is signed, and an answer that refuses it is read as before', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, peer, rgw, bucket } = await storeBehindPeer(t, { object: BYTES });
  const { etag, size } = await store.head('object', { signal });
  await readAll(store, 'object', { offset: 0, length: 10, etag, size, signal });
  t.same(sentHeader(peer, 'if-match'), [etag]);
  t.match(sentHeader(peer, 'authorization')[0], /SignedHeaders=[^,]*\bif-match;[^,]*\brange\b/);
  await rgw.put(bucket, 'object', patternedBytes(3001));
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', { offset: 5, length: 5, etag, size, signal }));
});

test('keys that are renewed before they expire', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  // Within five minutes of its end the SDK asks for keys again, whenever it needs some.
  const file = join(tempFolder(t), 'answer.json');
  const give = (Token: string): void => {
    const keys = { AccessKeyId: rgw.accessKey, SecretAccessKey: rgw.secretKey, Token };
    writeFileSync(file, JSON.stringify({ Version: 1, ...keys, SessionToken: Token, Expiration: soon() }));
  };
  const config = join(tempFolder(t), 'config');
  writeFileSync(config, `[default]\ncredential_process = cat ${file}\n`);
  give('first');
  const { store, peer } = await storeBehindPeer(
    t,
    { object: BYTES },
    { env: { HOME: '/nowhere', AWS_CONFIG_FILE: config } },
  );
  const { etag, size } = await store.head('object', { signal });
  const read = (offset: number) => readAll(store, 'object', { offset, length: 1000, etag, size, signal });
  await read(0);
  give('second');
  t.ok((await read(1000)).equals(BYTES.subarray(1000, 2000)));
  // What was handed out while the next keys were being asked for is still the first's.
  t.ok((await read(2000)).equals(BYTES.subarray(2000)));
  const tokens = sentHeader(peer, 'x-amz-security-token');
  t.equal(tokens[0], 'first');
  t.equal(tokens.at(-1), 'second');
  for (const header of sentHeader(peer, 'authorization')) t.match(header, 'x-amz-security-token', 'it is signed');
});

function soon(): string {
  return new Date(Date.now() + 60_000).toISOString();
}

test('a clock that jumps in the middle of a run', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, retries } = await storeBehindPeer(t, { object: BYTES });
  const { etag, size } = await store.head('object', { signal });
  const read = (offset: number) => readAll(store, 'object', { offset, length: 1000, etag, size, signal });
  await read(0);
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  Date.now = () => real() + 3_600_000;
  t.ok((await read(1000)).equals(BYTES.subarray(1000, 2000)));
  t.ok((await read(2000)).equals(BYTES.subarray(2000)));
  t.equal(retries.length, 1);
  t.match(retries[0]?.reason, 'clock is off');
});

test('a directory bucket is read with the keys of its session', async (t) => {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, answer) => {
    asked.push(request);
    if (request.url?.includes('session') === true) {
      answer.end(
        '<?xml version="1.0"?><CreateSessionResult><Credentials><AccessKeyId>k</AccessKeyId><SecretAccessKey>s</SecretAccessKey>' +
          `<SessionToken>of-session</SessionToken><Expiration>${soon()}</Expiration></Credentials></CreateSessionResult>`,
      );
      return;
    }
    const head = request.method === 'HEAD';
    const headers = { etag: '"1"', 'content-length': head ? 3000 : 10, 'content-range': 'bytes 0-9/3000' };
    answer.writeHead(head ? 200 : 206, headers);
    answer.end(head ? undefined : BYTES.subarray(0, 10));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const store = await open(t, `http://127.0.0.1:${port}`, 'backups--use1-az4--x-s3');
  const { etag, size } = await store.head('object', { signal });
  await readAll(store, 'object', { offset: 0, length: 10, etag, size, signal });
  const get = asked.find(({ headers }) => headers.range !== undefined);
  t.equal(get?.headers['x-amz-s3session-token'], 'of-session');
  t.match(get?.headers.authorization, 'Credential=k/');
});

async function open(t: Test, endpoint: string, bucket: string): Promise<ObjectStore> {
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  const store = await openS3Store({ bucket, endpoint, region: 'us-east-1' }, { concurrency: 1, env, policy: QUICK });
  t.teardown(() => store.close());
  return store;
}
