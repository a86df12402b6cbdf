// Connections of the S3 store: kept, found closed, bounded memory.
import { test } from 'tap';
import { runBounded } from '../../src/concurrency.ts';
import { patternedBytes, readAll } from '../contract/store.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { storeBehindPeer } from '../helpers/s3-peer.ts';

const signal = new AbortController().signal;

test('connections are kept, and closed with the store', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { peer, store, retries } = await storeBehindPeer(t, { object: patternedBytes(100_000) });
  const { etag, size } = await store.head('object', { signal });
  await runBounded(Array(40).keys(), { limit: 4, signal }, async (index, inner) => {
    await readAll(store, 'object', { offset: index * 1000, length: 1000, etag, size, signal: inner });
  });
  t.ok(peer.connections <= 5, `${peer.connections} connections for 40 reads, 4 at a time, and one HEAD`);
  t.same(retries, []);
  await store.close();
  await peer.allClosed();
});

test('a kept connection that the server closes costs no attempt', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const bytes = patternedBytes(100_000);
  const { peer, store, retries } = await storeBehindPeer(t, { object: bytes });
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 0, length: size, etag, size, signal };
  await readAll(store, 'object', range);
  for (const fault of [{ kind: 'cut' }, { kind: 'reset' }] as const) {
    let left = 1;
    peer.plan = ({ method }) => (method === 'GET' && left-- > 0 ? fault : undefined);
    t.ok((await readAll(store, 'object', range)).equals(bytes), `${fault.kind} when the next request comes`);
    t.same(retries, []);
  }
  peer.plan = () => undefined;
  peer.dropIdle();
  t.ok((await readAll(store, 'object', range)).equals(bytes), 'closed while it is idle');
  t.same(retries, []);
});

test('a fresh connection that the server closes is a failed attempt', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { peer, store, retries } = await storeBehindPeer(t, { object: patternedBytes(10) });
  const { etag, size } = await store.head('object', { signal });
  let left = 1;
  peer.plan = ({ method }) => (method === 'GET' && left-- > 0 ? { kind: 'cut' } : undefined);
  await readAll(store, 'object', { offset: 0, length: size, etag, size, signal });
  t.equal(retries.length, 1);
});

test('a busy sink holds the source back, so that memory is bounded', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const size = 64 * 1024 * 1024;
  const { peer, store } = await storeBehindPeer(t, { object: new Uint8Array(size) });
  const { etag } = await store.head('object', { signal });
  for (const fault of [undefined, { kind: 'chunked' }] as const) {
    peer.plan = () => fault;
    const before = peer.bytes('object');
    const sent = (): number => peer.bytes('object') - before;
    const memory = new Uint8Array(65536);
    let held: number | undefined;
    let got = 0;
    const sink = {
      room: () => memory,
      filled: (count: number) => {
        got += count;
        if (got < 1_000_000 || held !== undefined) return undefined;
        return settled(sent).then((value) => {
          held = value;
        });
      },
    };
    await store.read('object', { offset: 0, length: size, etag, size, signal }, sink);
    t.equal(got, size);
    // What is under way then lies in the kernel's socket buffers.
    t.ok((held ?? size) < size / 2, `${held} bytes of ${size} were sent, ${fault?.kind ?? 'plain'}`);
  }
});

/** The value after it has not changed for many turns of the event loop. */
async function settled(value: () => number): Promise<number> {
  let last = value();
  for (let still = 0; still < 500; still += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (value() !== last) still = 0;
    last = value();
  }
  return last;
}
