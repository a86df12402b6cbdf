// Zeros found by blocks are those found byte by byte.
import * as fc from 'fast-check';
import { test } from 'tap';
import { KiB } from '../src/units.ts';
import { firstNonZero, isZero, withoutTrailingZeros } from '../src/zeros.ts';

test('any data at any place, in memory that starts anywhere', async (t) => {
  const place = fc.integer({ min: 0, max: 200 * KiB });
  await fc.assert(
    fc.property(place, fc.array(place, { maxLength: 3 }), fc.nat({ max: 9 }), (length, places, from) => {
      const bytes = new Uint8Array(from + length).subarray(from);
      // Outside of the part that is asked about.
      if (from > 0) new Uint8Array(bytes.buffer)[from - 1] = 1;
      for (const at of places) if (at < length) bytes[at] = 1 + (at % 255);
      const first = bytes.findIndex((byte) => byte !== 0);
      const last = bytes.findLastIndex((byte) => byte !== 0);
      return (
        firstNonZero(bytes) === first &&
        isZero(bytes) === (first === -1) &&
        isZero(bytes, last + 1) &&
        isZero(bytes, 0, Math.max(0, first)) &&
        (first === -1 || !isZero(bytes, first, last + 1)) &&
        withoutTrailingZeros(bytes).length === last + 1
      );
    }),
  );
  t.pass();
});
