// A limit of bytes per second, counted against a clock of the test's own.
import { test } from 'tap';
import { type Clock, RateLimit } from '../src/rate-limit.ts';
import { memorySink } from '../src/store/memory-sink.ts';
import { limitReads } from '../src/store/rate-limited.ts';
import type { ObjectStore, Sink } from '../src/store/store.ts';
import { KiB, MiB } from '../src/units.ts';

/** Time passes only while every reader sleeps: to the moment at which the first of them wakes up. */
function fakeClock(): Clock & { readonly sleepers: () => number } {
  let time = 0;
  const waiting: { readonly at: number; readonly wake: () => void }[] = [];
  const tick = (): void => {
    waiting.sort((a, b) => a.at - b.at);
    const next = waiting.shift();
    if (next === undefined) return;
    time = next.at;
    next.wake();
  };
  return {
    now: () => time,
    sleepers: () => waiting.length,
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      await new Promise<void>((wake) => {
        waiting.push({ at: time + ms, wake });
        setImmediate(tick);
      });
      signal.throwIfAborted();
    },
  };
}

const signal = new AbortController().signal;

test('readers together take what the rate allows, over ten seconds and in each of them', async (t) => {
  for (const [rate, readers, piece] of [
    [MiB, 1, 64 * KiB],
    [MiB, 16, 64 * KiB],
    [50 * MiB, 7, 100_000],
    [4 * KiB, 3, 4 * KiB],
  ] as const) {
    const clock = fakeClock();
    const limit = new RateLimit(rate, clock);
    const perSecond = new Array<number>(10).fill(0);
    const read = async (): Promise<void> => {
      while (clock.now() < 10_000) {
        await limit.take(piece, signal);
        const second = Math.floor((clock.now() - 1) / 1000);
        if (second < 10) perSecond[second] = (perSecond[second] ?? 0) + piece;
      }
    };
    await Promise.all(Array.from({ length: readers }, read));
    const total = perSecond.reduce((sum, bytes) => sum + bytes, 0);
    const tolerance = readers * piece;
    t.ok(Math.abs(total - 10 * rate) <= tolerance, `${total} bytes in 10 s at ${rate}/s`);
    for (const bytes of perSecond) t.ok(bytes <= rate + tolerance, `${bytes} in a second at ${rate}/s`);
  }
});

test('time that nobody used is not made up for', async (t) => {
  const clock = fakeClock();
  const limit = new RateLimit(1000, clock);
  await limit.take(1000, signal);
  await clock.sleep(60_000, signal);
  const before = clock.now();
  for (let i = 0; i < 10; i += 1) await limit.take(1000, signal);
  t.equal(clock.now() - before, 10_000);
});

test('a read that is cancelled while it waits ends with the reason', async (t) => {
  const controller = new AbortController();
  const clock = fakeClock();
  const limit = new RateLimit(1, clock);
  const waiting = limit.take(10, controller.signal);
  controller.abort(new Error('cancelled'));
  await t.rejects(waiting, { message: 'cancelled' });
});

test('a store gives every byte in its place, and no more at a time than a tenth of a second takes', async (t) => {
  const content = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
  const asked: number[] = [];
  const store = {
    read: async (_key: string, _range: unknown, sink: Sink) => {
      for (let at = 0; at < content.length; ) {
        const room = sink.room();
        const count = content.copy(room, 0, at);
        asked.push(count);
        at += count;
        await sink.filled(count);
      }
    },
  } as unknown as ObjectStore;
  const clock = fakeClock();
  const target = Buffer.alloc(content.length);
  const range = { offset: 0, length: content.length, etag: '', size: content.length, signal };
  const limited = limitReads(store, new RateLimit(100_000, clock));
  await limited.read(
    'key',
    range,
    memorySink((from) => target.subarray(from)),
  );
  t.ok(target.equals(content));
  t.ok(asked.every((count) => count <= 10_000));
  t.equal(Math.round(clock.now()), 1000);
});
