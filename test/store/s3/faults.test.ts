// Every fault of the network and the server, and what becomes of it: recovered with the right bytes, or the right code.
import { type Test, test } from 'tap';
import { runBounded } from '../../../src/concurrency.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import { listed, patternedBytes, readAll, rejectsWith } from '../../contract/store.ts';
import { HARMLESS, HOPELESS, LENGTH, MENDED, OBJECT, OFFSET, SIZE } from '../../helpers/fault-lists.ts';
import type { Fault } from '../../helpers/peer.ts';
import { randomFaults } from '../../helpers/random-fault.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';
import { QUICK, type StoreBehindPeer, storeBehindPeer } from '../../helpers/s3-peer.ts';

const signal = new AbortController().signal;
const FINAL: readonly [Fault, ErrorCode][] = [
  [{ kind: 'swap' }, 'OBJECT_CHANGED'],
  [{ kind: 'total', total: 5 }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 412, code: 'PreconditionFailed' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 416, code: 'InvalidRange' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 404, code: 'NoSuchKey' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 404, code: 'NoSuchBucket' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 403, code: 'AccessDenied' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 403, code: 'InvalidObjectState' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 400, code: 'ExpiredToken' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 301, code: 'PermanentRedirect' }, 'SOURCE_UNREACHABLE'],
  [{ kind: 'status', status: 400, code: 'AuthorizationHeaderMalformed' }, 'SOURCE_UNREACHABLE'],
  [{ kind: 'status', status: 501, code: 'NotImplemented' }, 'SOURCE_UNREACHABLE'],
];

function named(fault: Fault): string {
  return JSON.stringify(fault);
}

async function readPart({ store }: StoreBehindPeer): Promise<Buffer> {
  const { etag, size } = await store.head('object', { signal });
  return await readAll(store, 'object', { offset: OFFSET, length: LENGTH, etag, size, signal });
}

test('faults that pass', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await storeBehindPeer(t, { object: OBJECT }, { policy: { ...QUICK, stallMs: 300 } });
  for (const fault of [...MENDED, { kind: 'status', status: 400, code: 'RequestTimeout' } as const]) {
    behind.retries.length = 0;
    let left = 2;
    behind.peer.plan = ({ method }) => {
      if (method !== 'GET' || left === 0) return undefined;
      left -= 1;
      return fault;
    };
    const bytes = await readPart(behind);
    t.ok(bytes.equals(OBJECT.subarray(OFFSET, OFFSET + LENGTH)), named(fault));
    t.equal(left, 0, 'it happened twice');
    t.ok(behind.retries.length >= 1, behind.retries[0]?.reason ?? 'no retry');
  }
});

test('oddities that are no faults', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await storeBehindPeer(t, { object: OBJECT });
  for (const fault of HARMLESS) {
    behind.peer.plan = ({ method }) => (method === 'GET' ? fault : undefined);
    const bytes = await readPart(behind);
    t.ok(bytes.equals(OBJECT.subarray(OFFSET, OFFSET + LENGTH)), named(fault));
    t.same(behind.retries, [], 'no retry');
    const document = await behind.store.get('object', { maxBytes: SIZE, signal });
    t.ok(OBJECT.equals(document), `get: ${named(fault)}`);
  }
});

test('what cannot succeed is not tried again', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await storeBehindPeer(t, { object: OBJECT });
  for (const [fault, code] of FINAL) {
    const before = behind.peer.count('GET');
    behind.peer.plan = ({ method }) => (method === 'GET' ? fault : undefined);
    await rejectsWith(t, code, () => readPart(behind), named(fault));
    t.equal(behind.peer.count('GET') - before, 1, 'asked once');
    t.same(behind.retries, []);
  }
});

test('what is never believed is tried six times', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await storeBehindPeer(t, { object: OBJECT });
  for (const [fault, why] of HOPELESS) {
    const before = behind.peer.count('GET');
    behind.peer.plan = ({ method }) => (method === 'GET' ? fault : undefined);
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => readPart(behind), named(fault));
    t.match(error.message, why);
    t.match(error.message, /s3:\/\/.*\/object at offset 1000/);
    t.equal(behind.peer.count('GET') - before, 6);
  }
});

test('every kind of request gets six attempts and more', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...QUICK, silentMs: 1_000 };
  const { peer, store, retries } = await storeBehindPeer(t, { object: OBJECT, 'a/b': OBJECT }, { policy });
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 0, length: size, etag, size, signal };
  const requests: [string, () => Promise<unknown>][] = [
    ['head', () => store.head('object', { signal })],
    ['get', () => store.get('object', { maxBytes: SIZE, signal })],
    ['list', () => listed(store, '')],
    ['read', () => readAll(store, 'object', range)],
  ];
  for (const [name, ask] of requests) {
    for (const fault of [
      { kind: 'status', status: 503 },
      { kind: 'reset' },
      { kind: 'status', status: 500 },
    ] as const) {
      retries.length = 0;
      let left = 5;
      peer.plan = () => (left-- > 0 ? fault : undefined);
      await t.resolves(ask(), `${name} lives through five of ${named(fault)}`);
      t.ok(retries.length >= 4 && retries.length <= 5, `${retries.length} retries`);
    }
    peer.plan = () => ({ kind: 'status', status: 503, code: 'SlowDown' });
    const before = peer.requests.length;
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', ask, name);
    t.match(error.message, /503/);
    t.ok(peer.requests.length - before >= 6, `${name} was tried ${peer.requests.length - before} times`);
  }
});

test('a gateway whose server restarts says 404 to all', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { peer, store } = await storeBehindPeer(t, { object: OBJECT });
  const asks: (() => Promise<unknown>)[] = [
    () => store.head('object', { signal }),
    () => store.get('object', { maxBytes: SIZE, signal }),
    () => listed(store, ''),
  ];
  for (const ask of asks) {
    // HEAD is followed by a listing each time.
    let left = 4;
    peer.plan = () => (left-- > 0 ? { kind: 'status', status: 404, page: true } : undefined);
    await t.resolves(ask(), 'it is none of S3’s');
  }
});

test('a read goes on from the next byte wanted', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { peer, store, retries } = await storeBehindPeer(t, { object: OBJECT });
  const { etag, size } = await store.head('object', { signal });
  peer.plan = ({ method }) => (method === 'GET' ? { kind: 'cut', after: 8_000 } : undefined);
  const bytes = await readAll(store, 'object', { offset: OFFSET, length: LENGTH, etag, size, signal }, { step: 5000 });
  t.ok(bytes.equals(OBJECT.subarray(OFFSET, OFFSET + LENGTH)), 'cut every 8,000 bytes');
  const gets = peer.requests.filter(({ method }) => method === 'GET');
  t.equal(gets.length, 38, 'as many requests as pieces: each new byte renews the patience');
  t.same(
    gets.map(({ range }) => range?.first),
    gets.map((_, index) => OFFSET + index * 8_000),
  );
  t.equal(peer.bytes('object'), LENGTH, 'no byte was fetched twice');
  t.same(
    retries.map(({ key, attempt, offset }) => ({ key, attempt, offset })),
    retries.map((_, index) => ({ key: 'object', attempt: index + 1, offset: OFFSET + index * 8_000 })),
  );
});

test('a document that is cut every time is given up', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...QUICK, silentMs: 2_500 };
  const { peer, store, retries } = await storeBehindPeer(t, { object: OBJECT }, { policy });
  peer.plan = ({ query }) => (query.has('list-type') ? { kind: 'cut', after: 100 } : undefined);
  await rejectsWith(t, 'SOURCE_UNREACHABLE', () => listed(store, ''), 'a listing too');
  peer.plan = ({ method }) => (method === 'GET' ? { kind: 'cut', after: 70_000 } : undefined);
  const began = performance.now();
  await rejectsWith(t, 'SOURCE_UNREACHABLE', () => store.get('object', { maxBytes: SIZE, signal }));
  t.ok(performance.now() - began < 10_000, 'bytes that came before are no progress');
  t.ok(retries.length >= 5, `${retries.length} retries`);
  // Each attempt brings more than the one before.
  let after = 0;
  peer.plan = ({ method }) => {
    if (method !== 'GET') return undefined;
    after += 15_000;
    return { kind: 'cut', after };
  };
  t.ok(OBJECT.equals(await store.get('object', { maxBytes: SIZE, signal })), 'while it grows it is gone on with');
});

test('a source that says nothing gets six attempts within the patience', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  // The program's own times, divided by ten.
  const times = { stallMs: 3_000, silentMs: 6_000, unansweredMs: 1_500, connectMs: 500, baseMs: 25, maxWaitMs: 490 };
  for (const answered of [false, true]) {
    const { peer, store } = await storeBehindPeer(t, { object: OBJECT }, { policy: { ...QUICK, ...times } });
    if (answered) await store.head('object', { signal });
    peer.plan = () => ({ kind: 'stall' });
    const before = peer.requests.length;
    const began = performance.now();
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => store.get('object', { maxBytes: SIZE, signal }));
    const ms = performance.now() - began;
    const patience = answered ? times.silentMs : times.unansweredMs;
    t.equal(peer.requests.length - before, 6, error.message);
    t.ok(ms > patience * 0.8 && ms < patience + 1_000, `${ms} ms of ${patience}`);
  }
});

test('a listing that comes slowly is waited for', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const names = Array.from({ length: 60 }, (_, index) => `${index}`.padStart(60, '0'));
  const objects = Object.fromEntries(names.map((name) => [name, new Uint8Array(1)]));
  const policy = { ...QUICK, stallMs: 800, silentMs: 1_600, unansweredMs: 1_000 };
  const { store, retries } = await storeBehindPeer(t, objects, {
    policy,
    plan: () => ({ kind: 'throttle', bytesPerSecond: 8_000 }),
  });
  const began = performance.now();
  t.equal((await listed(store, '')).length, 60);
  t.ok(performance.now() - began > policy.silentMs, 'it took longer than any silence may');
  t.same(retries, []);
});

test('Retry-After is honoured, up to a bound', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...QUICK, maxRetryAfterMs: 1_500 };
  const { peer, store, retries } = await storeBehindPeer(t, { object: OBJECT }, { policy });
  const answers = [1, 100, 0];
  peer.plan = () => {
    const retryAfter = answers.shift();
    return retryAfter === undefined ? undefined : { kind: 'status', status: 503, code: 'SlowDown', retryAfter };
  };
  await store.head('object', { signal });
  t.equal(retries[0]?.waitMs, 1_000);
  t.equal(retries[1]?.waitMs, 1_500);
  t.ok((retries[2]?.waitMs ?? 99) <= QUICK.maxWaitMs);
});

test('six attempts are made also when the server asks for waits that are longer than the patience', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...QUICK, silentMs: 1_500, maxRetryAfterMs: 400 };
  const { peer, store } = await storeBehindPeer(t, { object: OBJECT }, { policy });
  peer.plan = () => ({ kind: 'status', status: 503, retryAfter: 30 });
  await rejectsWith(t, 'SOURCE_UNREACHABLE', () => store.head('object', { signal }));
  t.ok(peer.count('HEAD') >= 6, `${peer.count('HEAD')} attempts`);
});

test('waits double and are drawn below a bound', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...QUICK, silentMs: 500, unansweredMs: 500 };
  const { peer, store, retries } = await storeBehindPeer(t, { object: OBJECT }, { policy });
  peer.plan = () => ({ kind: 'reset' });
  await rejectsWith(t, 'SOURCE_UNREACHABLE', () => store.head('object', { signal }));
  for (const { waitMs, attempt } of retries) {
    t.ok(
      waitMs <= Math.min(QUICK.maxWaitMs, QUICK.baseMs * 2 ** (attempt - 1)),
      `${waitMs} ms before attempt ${attempt + 1}`,
    );
  }
});

test('an object that is replaced or deleted during the run', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await storeBehindPeer(t, { object: OBJECT });
  const { store, peer, rgw, bucket } = behind;
  const { etag, size } = await store.head('object', { signal });
  peer.plan = ({ method, nth }) => (method === 'GET' && nth === 1 ? { kind: 'cut', after: 70_000 } : undefined);
  let replaced = false;
  const busy = async (): Promise<void> => {
    if (replaced) return;
    replaced = true;
    await rgw.put(bucket, 'object', patternedBytes(SIZE, 2));
  };
  const range = { offset: 0, length: LENGTH, etag, size, signal };
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range, { step: 60_000, busy }), 'in mid-read');
});

test('random faults in parts at a time: by seed', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...QUICK, stallMs: 300 };
  for (let seed = 1; seed <= 8; seed += 1) {
    const { peer, store, retries } = await storeBehindPeer(
      t,
      { object: OBJECT },
      { policy, seed, plan: randomFaults(0.4) },
    );
    const { etag, size } = await store.head('object', { signal });
    const whole = Buffer.alloc(size);
    const offsets = Array.from({ length: Math.ceil(size / 7_000) }, (_, index) => index * 7_000);
    await runBounded(offsets, { limit: 4, signal }, async (offset, inner) => {
      const length = Math.min(7_000, size - offset);
      const bytes = await readAll(store, 'object', { offset, length, etag, size, signal: inner }, { step: 3_000 });
      whole.set(bytes, offset);
    });
    t.ok(whole.equals(OBJECT), `seed ${seed}: ${peer.requests.length} requests, ${retries.length} retries`);
    await store.close();
  }
});

test('a server that is not there', async (t: Test) => {
  const { openS3Store } = await import('../../../src/store/s3/s3.ts');
  const policy = { ...QUICK, unansweredMs: 600, silentMs: 60_000 };
  const reasons: [string, RegExp][] = [
    ['http://127.0.0.1:9', /connection refused \(ECONNREFUSED 127\.0\.0\.1:9\) \(tried \d+ times/],
    ['https://127.0.0.1:9', /ECONNREFUSED/],
    ['http://bucket.invalid', /ENOTFOUND|EAI_AGAIN|no (byte|connection)/],
  ];
  for (const [endpoint, reason] of reasons) {
    let retries = 0;
    const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
    const onRetry = (): void => {
      retries += 1;
    };
    const store = await openS3Store({ bucket: 'b', endpoint }, { concurrency: 1, env, policy, onRetry });
    const range = { offset: 0, length: 1, etag: '"x"', size: 1, signal };
    for (const ask of [() => store.head('k', { signal }), () => readAll(store, 'k', range), () => listed(store, '')]) {
      retries = 0;
      const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', ask, endpoint);
      t.match(error.message, reason);
      t.ok(retries >= 5 || endpoint.includes('invalid'), `${retries} retries`);
    }
    await store.close();
  }
});
