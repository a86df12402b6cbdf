// What is still to be fetched of a layer, whatever the journal has of it.
import fc from 'fast-check';
import { test } from 'tap';
import { estimateLayer } from '../../src/staged/estimate.ts';

test('every byte that no part holds, in requests that end at multiples of the part size', async (t) => {
  const ranges = fc.array(
    fc.record({ offset: fc.integer({ min: 0, max: 90 }), length: fc.integer({ min: 1, max: 40 }) }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 30 }), ranges, (size, partSize, all) => {
      const parts = all.filter(({ offset, length }) => offset + length <= size);
      const holds = (at: number): boolean => parts.some(({ offset, length }) => at >= offset && at < offset + length);
      const missing = Array.from({ length: size }, (_, at) => !holds(at));
      const starts = missing.filter((is, at) => is && (at % partSize === 0 || missing[at - 1] !== true));
      const found = estimateLayer({ size, parts, partSize });
      return found.bytes === missing.filter((is) => is).length && found.requests === starts.length;
    }),
  );
  t.strictSame(estimateLayer({ size: 10, parts: [], partSize: undefined }), { bytes: 10, requests: 1 });
  t.strictSame(estimateLayer({ size: 10, parts: [{ offset: 0, length: 10 }], partSize: 4 }), { bytes: 0, requests: 0 });
});
