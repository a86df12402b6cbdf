import fc from 'fast-check';
import { test } from 'tap';
import { planBlankRanges, planLayout } from '../../src/target/layout.ts';
import type { ByteRange } from '../../src/units.ts';
import { KiB, MiB } from '../../src/units.ts';

const text = (ranges: readonly ByteRange[]): string =>
  ranges.map(({ offset, length }) => `${offset}+${length}`).join(' ');

test('layouts of known sizes', async (t) => {
  const layout = planLayout({ diskSize: 10 * MiB, capacity: 12 * MiB, sectorSize: 512 });
  t.equal(text([layout.body]), `${MiB}+${8 * MiB}`);
  t.equal(text(layout.edges), `${9 * MiB}+${MiB} 0+${MiB}`, 'last edge first');
  t.equal(layout.headSize, 4 * KiB);
  t.strictSame(layout.tail, { offset: 10 * MiB, length: 2 * MiB });
  const small = planLayout({ diskSize: MiB + 512, capacity: MiB + 512, sectorSize: 512 });
  t.equal(small.body.length, 0);
  t.equal(small.tail, undefined);
});

const sizes = fc
  .record({
    sectors: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20_000 })),
    extra: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20_000 })),
    sectorSize: fc.constantFrom(512, 4096),
  })
  .map(({ sectors, extra, sectorSize }) => {
    const diskSize = sectors * 512;
    return { diskSize, capacity: Math.ceil(diskSize / sectorSize) * sectorSize + extra * sectorSize, sectorSize };
  });

test('body and edges are the disk, and all that is zeroed lies on the device', async () => {
  fc.assert(
    fc.property(sizes, (given) => {
      const { body, edges, zeroed, tail, headSize } = planLayout(given);
      const pieces = [...edges, body].filter(({ length }) => length > 0).sort((a, b) => a.offset - b.offset);
      let position = 0;
      for (const { offset, length } of pieces) {
        if (offset !== position) return false;
        position += length;
      }
      const inside =
        headSize <= given.capacity &&
        zeroed.every(({ offset, length }) => offset >= headSize && offset + length <= given.capacity);
      const tailEnds = tail === undefined || tail.offset + tail.length === given.capacity;
      const aligned = [...zeroed, ...(tail ? [tail] : [])].every(({ offset }) => offset % given.sectorSize === 0);
      return position === given.diskSize && inside && tailEnds && aligned;
    }),
  );
});

test('a device is looked at from both its ends, and at the end of the disk', async (t) => {
  const ranges = planBlankRanges({ diskSize: 10 * MiB, capacity: 20 * MiB, sectorSize: 512 });
  t.equal(text(ranges), `0+${MiB} ${9 * MiB}+${MiB} ${19 * MiB}+${MiB}`);
});
