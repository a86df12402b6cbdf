// A cancel in every state of every request: it rejects with the reason, and no connection, timer or listener stays.
import { getEventListeners } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type Test, test } from 'tap';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, patternedBytes, readAll } from '../../contract/store.ts';
import type { Fault } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';
import { QUICK, storeBehindPeer } from '../../helpers/s3-peer.ts';

const SIZE = 3_000_000;
const OBJECT = patternedBytes(SIZE);
const PATIENT = { ...QUICK, stallMs: 60_000, silentMs: 60_000, unansweredMs: 60_000, connectMs: 60_000 };
const reason = new Error('the user wants to stop');

type Ask = (store: ObjectStore, signal: AbortSignal) => Promise<unknown>;

const ASKS: readonly [string, Ask][] = [
  ['head', (store, signal) => store.head('object', { signal })],
  ['get', (store, signal) => store.get('object', { maxBytes: SIZE, signal })],
  ['list', (store, signal) => listed(store, '', signal)],
  ['read', (store, signal) => readAll(store, 'object', { offset: 0, length: 10, etag: '"x"', size: 10, signal })],
];

/** Asserts that `work` rejects with the reason once `stop` is aborted, and leaves nothing on the signal. */
async function stops(t: Test, name: string, stop: AbortController, work: Promise<unknown>): Promise<void> {
  await t.rejects(work, reason, name);
  t.equal(getEventListeners(stop.signal, 'abort').length, 0, `${name}: no listener stays`);
}

test('while the server withholds its answer', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { peer, store } = await storeBehindPeer(t, { object: OBJECT }, { policy: PATIENT });
  for (const [name, ask] of ASKS) {
    const stop = new AbortController();
    peer.plan = () => {
      setImmediate(() => stop.abort(reason));
      return { kind: 'stall' };
    };
    await stops(t, name, stop, ask(store, stop.signal));
    await peer.allClosed();
  }
  t.pass('no connection stays');
});

test('in a body that stalls, comes, or is waited with by the sink', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { peer, store } = await storeBehindPeer(t, { object: OBJECT }, { policy: PATIENT });
  const { etag, size } = await store.head('object', { signal: new AbortController().signal });
  const cases: [string, Fault | undefined, () => Promise<void> | undefined][] = [
    ['stalls', { kind: 'stall', after: 100_000 }, () => undefined],
    ['comes', undefined, () => undefined],
    ['comes chunked', { kind: 'chunked' }, () => undefined],
    ['sink is busy', undefined, () => new Promise(() => {})],
    ['sink is busy, chunked', { kind: 'chunked' }, () => new Promise(() => {})],
  ];
  for (const [name, fault, busy] of cases) {
    const stop = new AbortController();
    peer.plan = () => fault;
    const memory = new Uint8Array(30_000);
    let calls = 0;
    const sink = {
      room: () => memory,
      filled: () => {
        calls += 1;
        if (calls === 1) setImmediate(() => stop.abort(reason));
        return busy();
      },
    };
    const range = { offset: 0, length: size, etag, size, signal: stop.signal };
    await stops(t, name, stop, store.read('object', range, sink));
  }
  await store.close();
  await peer.allClosed();
  t.pass('no connection stays');
});

test('during a wait before another attempt', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { ...PATIENT, maxRetryAfterMs: 60_000 };
  const { peer, store } = await storeBehindPeer(t, { object: OBJECT }, { policy });
  peer.plan = () => ({ kind: 'status', status: 503, retryAfter: 30 });
  for (const [name, ask] of ASKS) {
    const stop = new AbortController();
    const work = ask(store, stop.signal);
    const waiting = (): void => {
      if (peer.requests.length === 0) setImmediate(waiting);
      else setImmediate(() => stop.abort(reason));
    };
    waiting();
    await stops(t, name, stop, work);
  }
});

test('while the connection is made', async (t) => {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  const endpoint = `https://127.0.0.1:${address.port}`;
  const store = await openS3Store({ bucket: 'b', endpoint }, { concurrency: 1, env, policy: PATIENT });
  for (const [name, ask] of ASKS) {
    const stop = new AbortController();
    const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const work = ask(store, stop.signal);
    const socket = await Promise.race([connected, work.then(() => Promise.reject(new Error('it ended')))]);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resume();
    stop.abort(reason);
    await stops(t, `${name}, in the TLS handshake`, stop, work);
    await closed;
  }
  await store.close();
  t.equal(accepted.length, ASKS.length);
});
