// The window: whoever reads in the forecast's order, even roughly, finds everything on its way, in little memory.
import { type Test, test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { Arena, PAGE_SIZE } from '../../../src/stream/fetch/arena.ts';
import type { Begun } from '../../../src/stream/fetch/data-reader.ts';
import type { ServedChain } from '../../../src/stream/served-chain.ts';
import { forecast, type VisibleRange } from '../../../src/stream/window/forecast.ts';
import { Window } from '../../../src/stream/window/window.ts';
import { KiB, MiB } from '../../../src/units.ts';
import { seededRandom } from '../../helpers/random.ts';
import { requires } from '../../helpers/requires.ts';
import { checkedChain, withChain } from '../../helpers/served-chain.ts';

const SIZE = 48 * MiB;
const RANGE = { offset: 0, length: SIZE };
const signal = new AbortController().signal;

/** 48 MiB of a full, scattered with two layers of single clusters. */
function shape(): { unit: number; size: number; layers: string[] } {
  const random = seededRandom('window');
  const scattered = (): string => Array.from({ length: 768 }, () => (random() < 0.1 ? 'x' : '-')).join('');
  return { unit: 64 * KiB, size: SIZE, layers: ['A'.repeat(768), scattered(), scattered()] };
}

async function rangesOf(served: ServedChain): Promise<VisibleRange[]> {
  const ranges: VisibleRange[] = [];
  for await (const range of forecast({ ...served, range: RANGE, signal })) ranges.push(range);
  return ranges;
}

async function withWindow(
  t: Test,
  { arena, onError = (error: unknown) => t.error(error) }: { arena: Arena; onError?: (error: unknown) => void },
  served: ServedChain,
  work: (window: Window) => Promise<void>,
): Promise<void> {
  const window = new Window({ ...served, range: RANGE, arena, onError, signal });
  try {
    await window.primed();
    await work(window);
  } finally {
    await window.end();
  }
}

/** Reads one range to its end, and lets go of it. */
async function readAll(window: Window, { layer, offset, length }: VisibleRange): Promise<void> {
  for (let at = offset; at < offset + length; ) {
    const begun: Begun = window.begin(layer, at, offset + length, signal);
    (await begun.data).release?.();
    at = begun.end;
  }
}

test('read in order, nothing is missed, fetched twice or kept', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, shape());
  for (const size of [16 * MiB, 4 * MiB, 64 * MiB]) {
    await withChain(t, checked, async (served) => {
      const ranges = await rangesOf(served);
      const arena = new Arena(size);
      await withWindow(t, { arena }, served, async (window) => {
        for (const range of ranges) await readAll(window, range);
        t.equal(window.missed, 0, `window of ${size} bytes`);
      });
      t.equal(arena.free, arena.size);
    });
  }
});

test('read by sixteen at a time, out of order, as qemu-img does', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, shape());
  await withChain(t, checked, async (served) => {
    const random = seededRandom('order');
    const ranges = (await rangesOf(served)).map((range, index) => ({ range, order: index + random() * 60 }));
    const queue = ranges.sort((a, b) => a.order - b.order).map(({ range }) => range);
    const arena = new Arena(32 * MiB);
    await withWindow(t, { arena }, served, async (window) => {
      const reader = async (): Promise<void> => {
        for (let range = queue.shift(); range !== undefined; range = queue.shift()) await readAll(window, range);
      };
      await Promise.all(Array.from({ length: 16 }, reader));
      t.equal(window.missed, 0);
    });
    t.equal(arena.free, arena.size);
  });
});

test('read in no order at all, with hardly any memory: everything comes', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, shape());
  await withChain(t, checked, async (served) => {
    const random = seededRandom('chaos');
    const ranges = (await rangesOf(served))
      .map((range) => ({ range, order: random() }))
      .sort((a, b) => a.order - b.order);
    const arena = new Arena(2 * PAGE_SIZE);
    await withWindow(t, { arena }, served, async (window) => {
      for (const { range } of ranges) await readAll(window, range);
      t.ok(window.missed > 0, 'around the window');
    });
    t.equal(arena.free, arena.size);
  });
});

test('a source that fails for good is told once it is asked ahead, and to those who wait', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, shape());
  let broken = false;
  const gone = new DatamoverError('OBJECT_MISSING', 'gone');
  const store: ObjectStore = {
    ...checked.store,
    read: (key, range, sink) => (broken ? Promise.reject(gone) : checked.store.read(key, range, sink)),
  };
  await withChain(t, { ...checked, store }, async (served) => {
    const ranges = await rangesOf(served);
    broken = true;
    const told: unknown[] = [];
    const arena = new Arena(16 * MiB);
    await withWindow(t, { arena, onError: (error) => told.push(error) }, served, async (window) => {
      const [first] = ranges;
      if (first !== undefined) await t.rejects(readAll(window, first), gone);
    });
    t.equal(told[0], gone);
    t.equal(arena.free, arena.size, 'no memory is lost');
  });
});

test('a source that tells only at the end of a read that the object was replaced is heard', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, { unit: 64 * KiB, size: MiB, layers: ['A'.repeat(16)] });
  const replaced = new DatamoverError('OBJECT_CHANGED', 'replaced');
  const { promise: allRead, resolve: told } = Promise.withResolvers<void>();
  let late = false;
  const store: ObjectStore = {
    ...checked.store,
    read: async (key, range, sink) => {
      await checked.store.read(key, range, sink);
      if (!late) return;
      await allRead;
      throw replaced;
    },
  };
  await withChain(t, { ...checked, store }, async (served) => {
    const ranges = await rangesOf(served);
    late = true;
    const errors: unknown[] = [];
    const arena = new Arena(16 * MiB);
    await withWindow(t, { arena, onError: (error) => errors.push(error) }, served, async (window) => {
      for (const range of ranges) await readAll(window, range);
      t.strictSame(errors, [], 'every byte was given');
      told();
      await window.settle();
      t.ok(errors.length > 0 && errors.every((error) => error === replaced));
    });
    t.equal(arena.free, arena.size);
  });
});

test('a reader that leaves takes nothing with it', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, shape());
  await withChain(t, checked, async (served) => {
    const [first] = await rangesOf(served);
    if (first === undefined) return;
    const arena = new Arena(16 * MiB);
    await withWindow(t, { arena }, served, async (window) => {
      const leaving = new AbortController();
      const { data } = window.begin(first.layer, first.offset, first.offset + 512, leaving.signal);
      leaving.abort(new Error('left'));
      const outcome = await Promise.resolve(data).then(
        (given) => given.release?.(),
        (error: unknown) => t.match(error, { message: 'left' }),
      );
      t.notOk(outcome === null);
      for (const range of await rangesOf(served)) await readAll(window, range);
    });
    t.equal(arena.free, arena.size);
  });
});
