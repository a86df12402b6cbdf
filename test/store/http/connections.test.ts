// Connections of the S3 store: kept, found closed, bounded memory.
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { test } from 'tap';
import { runBounded } from '../../../src/concurrency.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { patternedBytes, readAll } from '../../contract/store.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';
import { QUICK, storeBehindPeer } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

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

test('what comes behind a body is never the next answer', async (t) => {
  if (!requires(t, 'openssl')) return;
  const certificates = makeCertificates(tempFolder(t));
  for (const length of [1000, 65_536, 400_000]) {
    for (const tls of [undefined, certificates]) {
      let asked = 0;
      let connections = 0;
      const onSocket = (socket: Socket): void => {
        connections += 1;
        socket.on('error', () => {});
        socket.on('data', () => {
          asked += 1;
          socket.write(doubled(length, asked));
        });
      };
      const server = tls === undefined ? createServer(onSocket) : createTlsServer(tls, onSocket);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.teardown(() => server.close());
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      const endpoint = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${address.port}`;
      const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
      const options = { bucket: 'b', endpoint, caFile: certificates.caFile };
      const store = await openS3Store(options, { concurrency: 2, env, policy: QUICK });
      const range = { offset: 0, length, etag: '"e"', size: length, signal };
      for (const nth of [1, 2, 3]) {
        const bytes = await readAll(store, 'object', range, { step: length });
        t.ok(bytes.equals(Buffer.alloc(length, nth)), `${endpoint}: ${length} bytes, answer ${nth}`);
      }
      t.equal(connections, 3, 'none was used again');
      await store.close();
    }
  }
});

/** The same answer twice in one piece, of a head and a body that together are whole records of 16 KiB. */
function doubled(length: number, nth: number): Buffer {
  const lines = `HTTP/1.1 206 OK\r\nETag: "e"\r\nContent-Range: bytes 0-${length - 1}/${length}\r\nContent-Length: ${length}\r\n`;
  const padding = 16384 - ((lines.length + 'X-Pad: \r\n\r\n'.length + length) % 16384);
  const answer = Buffer.concat([
    Buffer.from(`${lines}X-Pad: ${'x'.repeat(padding)}\r\n\r\n`),
    Buffer.alloc(length, nth),
  ]);
  return Buffer.concat([answer, answer]);
}

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
