// HTTP/1.1 heads and chunked bodies, as bytes.
import fc from 'fast-check';
import { test } from 'tap';
import { ChunkedDecoder } from '../../../src/store/http/chunked.ts';
import { formatRequestHead, formatTarget, MAX_HEAD, parseResponseHead } from '../../../src/store/http/message.ts';
import { TransientError } from '../../../src/store/retry/policy.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

test('heads that are understood', async (t) => {
  const head = parseResponseHead(
    bytes('HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag:"a"\r\nX-A: 1\r\nx-a:  2 \r\n\r\nbody!'),
  );
  t.match(head, { status: 206, reason: 'Partial Content', keepAlive: true, length: 79 });
  t.same({ ...head?.headers }, { 'content-length': '5', etag: '"a"', 'x-a': '1, 2' });
  const framings: [string, object, boolean][] = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', { kind: 'length', length: 0 }, true],
    ['HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n', { kind: 'chunked' }, true],
    ['HTTP/1.1 200 OK\r\n\r\n', { kind: 'close' }, false],
    ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: Close\r\n\r\n', { kind: 'length', length: 9 }, false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n', { kind: 'length', length: 9 }, false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 9\r\nConnection: keep-alive\r\n\r\n', { kind: 'length', length: 9 }, true],
    ['HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', { kind: 'length', length: 0 }, true],
    ['HTTP/1.1 100 Continue\r\n\r\n', { kind: 'length', length: 0 }, true],
  ];
  for (const [text, framing, keepAlive] of framings) {
    const parsed = parseResponseHead(bytes(text));
    t.same(parsed?.framing, framing, JSON.stringify(text));
    t.equal(parsed?.keepAlive, keepAlive);
  }
});

test('heads that have not come whole', async (t) => {
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
  for (let length = 0; length < text.length; length += 1) {
    t.equal(parseResponseHead(bytes(text.slice(0, length))), undefined, `${length} bytes`);
  }
});

test('what is refused', async (t) => {
  const texts = [
    'SSH-2.0-OpenSSH\r\n',
    'HTTP/2 200\r\n\r\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA : b\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA\r\n\r\n',
    'HTTP/1.1 200 OK\r\n: b\r\n\r\n',
    `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(MAX_HEAD)}`,
  ];
  for (const text of texts) t.throws(() => parseResponseHead(bytes(text)), TransientError, text.slice(0, 70));
});

test('no bytes make it throw anything else', async (t) => {
  const pieces = fc.constantFrom(
    'HTTP/1.1 ',
    '200',
    '\r\n',
    ': ',
    'Content-Length',
    'Transfer-Encoding',
    'chunked',
    '\0',
    '5',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, fc.string())), (parts) => {
      try {
        parseResponseHead(bytes(parts.join('')));
      } catch (error) {
        if (!(error instanceof TransientError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('requests', async (t) => {
  t.equal(
    formatRequestHead({ method: 'GET', target: '/b/k?x-id=GetObject', headers: { host: 'h', range: 'bytes=0-1' } }),
    'GET /b/k?x-id=GetObject HTTP/1.1\r\nhost: h\r\nrange: bytes=0-1\r\n\r\n',
  );
  t.equal(formatTarget('/b', { 'a b': ["'(1)*", '!'], c: null }), '/b?a%20b=%27%281%29%2A&a%20b=%21&c');
  t.throws(() => formatRequestHead({ method: 'GET', target: '/', headers: { a: 'b\r\nc: d' } }));
});

test('chunked bodies, cut anywhere', async (t) => {
  const body = '5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext';
  for (let step = 1; step <= body.length; step += 1) {
    const decoder = new ChunkedDecoder();
    let text = '';
    let used = 0;
    for (let from = 0; from < body.length; from += step) {
      const taken = decoder.take(bytes(body.slice(from, from + step)));
      text += taken.data.map((piece) => Buffer.from(piece).toString()).join('');
      used += taken.used;
    }
    t.equal(text, 'hello 0123456789', `${step} bytes at a time`);
    t.ok(decoder.done);
    t.equal(body.slice(used), 'next');
  }
  for (const bad of ['x\r\n', '5\nhello', '5\r\nhelloX\r\n', '-1\r\n', '\r\n', `${'0'.repeat(5000)}`]) {
    t.throws(() => new ChunkedDecoder().take(bytes(bad)), TransientError, bad.slice(0, 20));
  }
});
