// The codecs against bytes written out by hand from doc/proto.md.
import fc from 'fast-check';
import { test } from 'tap';
import { INFO, NBD_ERROR, readUint64, writeUint64 } from '../../src/nbd/wire.ts';
import * as handshake from '../../src/nbd/wire-handshake.ts';
import * as transmission from '../../src/nbd/wire-transmission.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const cookie = { high: 0x01020304, low: 0xfffffffe };

test('what the server writes', async (t) => {
  const cases: [string, Buffer, string][] = [
    ['greeting', handshake.encodeGreeting(3), '4e42444d41474943 49484156454f5054 0003'],
    ['option reply', handshake.encodeOptionReply(7, 1), '0003e889045565a9 00000007 00000001 00000000'],
    [
      'option error with text',
      handshake.encodeOptionReply(8, 0x80000003, Buffer.from('no')),
      '0003e889045565a9 00000008 80000003 00000002 6e6f',
    ],
    ['export by name', handshake.encodeExportNameReply(2 ** 40 + 5, 0x103, false), '0000010000000005 0103'],
    [
      'export by name, padded',
      handshake.encodeExportNameReply(1, 1, true),
      `0000000000000001 0001 ${'00'.repeat(124)}`,
    ],
    ['export info', handshake.encodeExportInfo(2 ** 53 - 1, 0x183), '0000 001fffffffffffff 0183'],
    ['name info', handshake.encodeTextInfo(INFO.NAME, 'ü'), '0001 c3bc'],
    ['description info', handshake.encodeTextInfo(INFO.DESCRIPTION, 'a'), '0002 61'],
    ['block sizes', handshake.encodeBlockSizeInfo(1, 4096, 33554432), '0003 00000001 00001000 02000000'],
    ['list entry', handshake.encodeListEntry('ü', 'b'), '00000002 c3bc 62'],
    ['default export, not described', handshake.encodeListEntry('', ''), '00000000'],
    ['metadata context', handshake.encodeMetaContext(1, 'base:a'), '00000001 626173653a61'],
    ['simple reply', transmission.encodeSimpleReply(cookie, 0), '67446698 00000000 01020304fffffffe'],
    ['simple error', transmission.encodeSimpleReply(cookie, NBD_ERROR.EIO), '67446698 00000005 01020304fffffffe'],
    [
      'data chunk',
      transmission.encodeDataChunkHeader(cookie, 2 ** 33, 512),
      '668e33ef 0001 0001 01020304fffffffe 00000208 0000000200000000',
    ],
    [
      'error chunk',
      transmission.encodeErrorChunk(cookie, NBD_ERROR.EPERM, 'é'),
      '668e33ef 0001 8001 01020304fffffffe 00000008 00000001 0002 c3a9',
    ],
    [
      'block status chunk',
      transmission.encodeBlockStatusChunk(cookie, 1, [
        { length: 4096, state: 3 },
        { length: 1, state: 0 },
      ]),
      '668e33ef 0001 0005 01020304fffffffe 00000014 00000001 00001000 00000003 00000001 00000000',
    ],
  ];
  for (const [name, written, expected] of cases) t.equal(written.toString('hex'), hex(expected).toString('hex'), name);
});

test('a message is cut between characters, at 4096 bytes', async (t) => {
  const chunk = transmission.encodeErrorChunk(cookie, NBD_ERROR.EIO, `x${'é'.repeat(4000)}`);
  t.equal(chunk.readUInt16BE(24), 4095);
  t.equal(chunk.readUInt32BE(16), 6 + 4095);
  t.equal(chunk.length, 20 + 6 + 4095);
  t.equal(chunk.subarray(26).toString(), `x${'é'.repeat(2047)}`);
});

test('what the server reads', async (t) => {
  t.same(handshake.decodeOptionHeader(hex('49484156454f5054 00000007 ffffffff')), { option: 7, length: 0xffffffff });
  t.equal(handshake.decodeOptionHeader(hex('49484156454f5055 00000007 00000000')), undefined, 'wrong magic');
  t.same(transmission.decodeRequest(hex('25609513 0004 0007 01020304fffffffe 0000000200000001 80000000')), {
    flags: 4,
    type: 7,
    cookie,
    offset: 2 ** 33 + 1,
    length: 2 ** 31,
  });
  t.equal(
    transmission.decodeRequest(hex('25609513 0000 0000 0000000000000000 0020000000000000 00000001'))?.offset,
    undefined,
    'an offset of 2^53',
  );
  t.equal(transmission.decodeRequest(hex(`25609514${'00'.repeat(24)}`)), undefined, 'wrong magic');
});

test('the choice of an export', async (t) => {
  const cases: [string, ReturnType<typeof handshake.decodeExportChoice>][] = [
    ['00000000 0000', { name: '', requests: [] }],
    ['00000002 c3bc 0002 0003 0001', { name: 'ü', requests: [3, 1] }],
    ['', undefined],
    ['00000000 00', undefined],
    ['00000001 61 00', undefined],
    ['ffffffff 61 0000', undefined],
    ['00000001 61 0001', undefined],
    ['00000001 61 0000 00', undefined],
    ['00000001 00 0000', undefined],
    ['00000001 ff 0000', undefined],
  ];
  for (const [data, expected] of cases) t.same(handshake.decodeExportChoice(hex(data)), expected, data);
});

test('the query of metadata contexts', async (t) => {
  const cases: [string, ReturnType<typeof handshake.decodeMetaContextQuery>][] = [
    ['00000000 00000000', { name: '', queries: [] }],
    ['00000001 61 00000002 00000001 62 00000000', { name: 'a', queries: ['b', ''] }],
    ['00000001 61', undefined],
    ['00000001 61 00000001', undefined],
    ['00000001 61 ffffffff', undefined],
    ['00000001 61 00000001 00000002 62', undefined],
    ['00000001 61 00000000 00', undefined],
    ['ffffffff 61 00000000', undefined],
  ];
  for (const [data, expected] of cases) t.same(handshake.decodeMetaContextQuery(hex(data)), expected, data);
});

test('strings', async (t) => {
  t.equal(handshake.decodeString(Buffer.alloc(4096, 'a')), 'a'.repeat(4096));
  t.equal(handshake.decodeString(Buffer.alloc(4097, 'a')), undefined, 'longer than 4096 bytes');
  t.equal(handshake.decodeString(hex('6100')), undefined, 'NUL');
  t.equal(handshake.decodeString(hex('c3')), undefined, 'not UTF-8');
  t.equal(handshake.decodeString(hex('efbbbf61')), '\ufeffa', 'a byte order mark is part of the name');
});

test('64-bit integers', async (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(value);
      return readUint64(bytes, 0) === (value < 2n ** 53n ? Number(value) : undefined);
    }),
    { examples: [[2n ** 53n - 1n], [2n ** 53n], [2n ** 53n + 1n], [2n ** 64n - 1n], [0n]] },
  );
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const bytes = Buffer.alloc(8);
      writeUint64(bytes, value, 0);
      return bytes.readBigUInt64BE() === BigInt(value);
    }),
  );
  t.pass('read and written as a bigint would be');
});

test('no data make a decoder throw', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), (data) => {
      handshake.decodeExportChoice(Buffer.from(data));
      handshake.decodeMetaContextQuery(Buffer.from(data));
      handshake.decodeString(data);
    }),
    { numRuns: 1000 },
  );
  t.pass('1000 times');
});
