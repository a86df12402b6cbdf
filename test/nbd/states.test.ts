// Extents to descriptors: joined, cut, refused.
import { test } from 'tap';
import { statesOf } from '../../src/nbd/states.ts';

const data = (length: number) => ({ length, hole: false, zero: false });
const hole = (length: number) => ({ length, hole: true, zero: true });

test('neighbours of one state are one run, the last is cut at the range', async (t) => {
  t.same(statesOf([data(10)], 10), [{ length: 10, state: 0 }]);
  t.same(statesOf([data(10), data(5), hole(5), hole(100)], 30), [
    { length: 15, state: 0 },
    { length: 15, state: 3 },
  ]);
  t.same(statesOf([data(10), hole(5)], 10), [{ length: 10, state: 0 }], 'what begins behind the range is left out');
  t.same(statesOf([hole(4)], 10), [{ length: 4, state: 3 }], 'less than was asked');
  t.same(statesOf([hole(2 ** 40)], 2 ** 32 - 1), [{ length: 2 ** 32 - 1, state: 3 }]);
  t.same(statesOf([{ length: 1, hole: true, zero: false }], 1), [{ length: 1, state: 1 }]);
  t.same(statesOf([{ length: 1, hole: false, zero: true }], 1), [{ length: 1, state: 2 }]);
});

test('a reply is bounded', async (t) => {
  const many = Array.from({ length: 10_000 }, (_, index) => (index % 2 === 0 ? data(1) : hole(1)));
  t.equal(statesOf(many, 10_000).length, 4096);
});

test('an export that breaks its contract is a TypeError', async (t) => {
  for (const extents of [[], [data(0)], [data(-1)], [data(0.5)], [data(Number.NaN)], [data(1), data(2 ** 53)]]) {
    t.throws(() => statesOf(extents, 10), TypeError);
  }
});
