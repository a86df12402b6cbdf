// Pages taken and given back in any order never overlap, and none is lost.
import fc from 'fast-check';
import { test } from 'tap';
import { Arena, type Memory, PAGE_SIZE } from '../../../src/stream/fetch/arena.ts';

test('what is taken is exactly as long as asked, and its own', async (t) => {
  const step = fc.record({ take: fc.integer({ min: 1, max: 5 * PAGE_SIZE }), give: fc.nat(9) });
  await fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const arena = new Arena(16 * PAGE_SIZE + 5);
      const held: { memory: Memory; mark: number }[] = [];
      for (const [index, { take, give }] of steps.entries()) {
        const free = arena.free;
        const memory = arena.take(take);
        const pages = Math.ceil(take / PAGE_SIZE) * PAGE_SIZE;
        if ((memory !== undefined) !== pages <= free) return false;
        if (memory !== undefined) {
          const mark = (index % 255) + 1;
          for (let at = 0; at < take; at += memory.room(at).length) memory.room(at).fill(mark);
          held.push({ memory, mark });
        }
        for (const { memory: one, mark } of held) {
          const bytes = Buffer.concat(one.slice(0, one.length));
          if (bytes.length !== one.length || bytes.some((byte) => byte !== mark)) return false;
        }
        held.splice(give, 1)[0]?.memory.free();
      }
      for (const { memory } of held) {
        memory.free();
        memory.free();
      }
      return arena.free === 16 * PAGE_SIZE;
    }),
    { numRuns: 100 },
  );
  t.pass('100 sequences');
});

test('any part of memory in several stretches', async (t) => {
  const arena = new Arena(4 * PAGE_SIZE);
  const [first, second] = [arena.take(1), arena.take(1)];
  const third = arena.take(1);
  first?.free();
  third?.free();
  const memory = arena.take(3 * PAGE_SIZE - 7);
  if (!t.ok(memory) || memory === undefined) return;
  t.equal(arena.free, 0);
  const truth = Buffer.from(Array.from({ length: memory.length }, (_, index) => (index * 31) % 251));
  for (let at = 0; at < truth.length; ) {
    const room = memory.room(at);
    room.set(truth.subarray(at, at + room.length));
    at += room.length;
  }
  for (const [from, to] of [
    [0, truth.length],
    [PAGE_SIZE - 3, PAGE_SIZE + 3],
    [PAGE_SIZE, PAGE_SIZE + 1],
    [truth.length - 1, truth.length],
  ] as const) {
    t.ok(Buffer.concat(memory.slice(from, to)).equals(truth.subarray(from, to)), `${from}…${to}`);
  }
  second?.free();
});
