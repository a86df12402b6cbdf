import fc from 'fast-check';
import { test } from 'tap';
import { DisjointRanges } from '../../src/staged/disjoint-ranges.ts';
import { MiB } from '../../src/units.ts';

test('of any ranges it takes those that comparing each with each would take', async (t) => {
  const range = fc.record({ offset: fc.nat(60), length: fc.integer({ min: 1, max: 20 }) });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
      const taken = new DisjointRanges(ranges);
      const others: typeof ranges = [];
      for (const one of ranges) {
        const bytes = (index: number) => index >= one.offset && index < one.offset + one.length;
        const overlaps = others.some(({ offset, length }) => Array.from({ length }, (_, i) => offset + i).some(bytes));
        if (taken.overlaps(one) !== overlaps) return false;
        if (overlaps) continue;
        taken.add(one);
        others.push(one);
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.notOk(new DisjointRanges([]).overlaps({ offset: 0, length: 1 }));
});

test('a million parts of a terabyte take seconds', async (t) => {
  const parts = Array.from({ length: 1024 * 1024 }, (_, index) => ({ offset: index * MiB, length: MiB }));
  const taken = new DisjointRanges(parts);
  const before = process.cpuUsage();
  let added = 0;
  for (const part of [...parts.toReversed(), ...parts]) {
    if (taken.overlaps(part)) continue;
    taken.add(part);
    added += 1;
  }
  t.equal(added, parts.length);
  // Each with each: 5 × 10¹¹ comparisons, an hour.
  const { user, system } = process.cpuUsage(before);
  t.ok(user + system < 60_000_000, 'less than a minute of one core, however busy the machine is');
});
