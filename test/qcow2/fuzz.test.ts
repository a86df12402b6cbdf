// No bytes make the codec or its judge throw anything but their own error.
import fc from 'fast-check';
import { test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { parseHeader } from '../../src/qcow2/header.ts';
import { validateHeader } from '../../src/qcow2/judge.ts';
import { FIELD, SOUND_FILE_SIZE, soundHeader } from '../helpers/header-bytes.ts';

/** True when the bytes are judged; false when refused as they should be. Anything else is thrown. */
function isTaken(bytes: Uint8Array, base: boolean): boolean {
  try {
    validateHeader(parseHeader(bytes, 'layer'), { where: 'layer', fileSize: SOUND_FILE_SIZE, base });
    return true;
  } catch (error) {
    if (error instanceof DatamoverError && ['IMAGE_CORRUPT', 'IMAGE_UNSAFE'].includes(error.code)) return false;
    throw error;
  }
}

test('random bytes are refused, never anything worse', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), fc.boolean(), (bytes, base) => !isTaken(bytes, base)),
    { numRuns: 2000 },
  );
  t.pass('2000 runs');
});

test('a sound header with random changes is taken or refused, never anything worse', async (t) => {
  let taken = 0;
  let refused = 0;
  const change = fc.record({
    at: fc.integer({ min: FIELD.version, max: 600 }),
    value: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 2, 4, 8, 16, 255)),
  });
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 0, max: 4096 }),
      fc.boolean(),
      (changes, length, whole) => {
        const bytes = soundHeader();
        for (const { at, value } of changes) bytes[at] = value;
        if (isTaken(whole ? bytes : bytes.subarray(0, length), false)) taken += 1;
        else refused += 1;
      },
    ),
    { numRuns: 5000 },
  );
  t.ok(taken > 100 && refused > 100, `both happen: ${taken} taken, ${refused} refused`);
});

test('what is taken never names tables beyond its file', async (t) => {
  const offset = fc.oneof(
    fc.bigInt({ min: 0n, max: 16n }).map((n) => n * 65536n),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  );
  fc.assert(
    fc.property(
      offset,
      fc.nat({ max: 2 ** 32 - 1 }),
      offset,
      fc.nat({ max: 200 }),
      (l1, entries, refcounts, clusters) => {
        const bytes = soundHeader((view) => {
          view.setBigUint64(FIELD.l1Offset, l1);
          view.setUint32(FIELD.l1Size, entries);
          view.setBigUint64(FIELD.refcountTableOffset, refcounts);
          view.setUint32(FIELD.refcountTableClusters, clusters);
        });
        if (!isTaken(bytes, true)) return;
        if (Number(l1) + entries * 8 > SOUND_FILE_SIZE || Number(refcounts) + clusters * 65536 > SOUND_FILE_SIZE) {
          throw new Error('taken, though a table lies outside');
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.pass('2000 runs');
});
