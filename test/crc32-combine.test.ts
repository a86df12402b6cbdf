import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { test } from 'tap';
import { combineCrc32, crc32OfZeros } from '../src/crc32-combine.ts';

test('the CRC of a whole comes from those of its parts', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.uint8Array({ maxLength: 3000 }), (a, b) => {
      const whole = crc32(Buffer.concat([a, b]));
      return combineCrc32(crc32(a), crc32(b), b.length) === whole;
    }),
  );
  t.equal(combineCrc32(0, 0x12345678, 4096), 0x12345678, 'the CRC of nothing adds nothing');
});

test('lengths beyond 4 GiB are whole numbers of zero bits too', async (t) => {
  const chunk = Buffer.alloc(64 * 1024 * 1024);
  const length = 65 * chunk.length;
  let expected = crc32('x');
  let zeros = 0;
  const ofChunk = crc32(chunk);
  for (let done = 0; done < length; done += chunk.length) {
    expected = crc32(chunk, expected);
    zeros = combineCrc32(zeros, ofChunk, chunk.length);
  }
  t.equal(combineCrc32(crc32('x'), zeros, length), expected);
});

test('zeros without looking at them', async (t) => {
  for (const length of [0, 1, 2, 3, 511, 512, 65_536, 1_000_003]) {
    t.equal(crc32OfZeros(length), crc32(new Uint8Array(length)), `${length} bytes`);
  }
});
