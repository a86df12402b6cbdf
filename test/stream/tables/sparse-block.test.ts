// Tables without their zeros read as they were.
import fc from 'fast-check';
import { test } from 'tap';
import { BLOCK_SIZE, SECTOR, SparseBlock } from '../../../src/stream/tables/sparse-block.ts';

/** Any part of it, as its readers put it together. */
function read(block: SparseBlock, from: number, to: number): Uint8Array {
  const view = block.view(from, to);
  if (view !== undefined) return view;
  const room = new Uint8Array(to - from).fill(0xee);
  block.copyTo(room, from);
  return room;
}

test('any part of any block', async (t) => {
  const sectors = fc.array(fc.constantFrom(0, 0, 0, 7), { minLength: 1, maxLength: BLOCK_SIZE / SECTOR });
  await fc.assert(
    fc.property(sectors, fc.nat(SECTOR - 1), fc.nat(), fc.nat(), (fills, cut, a, b) => {
      const bytes = Buffer.concat(fills.map((fill) => Buffer.alloc(SECTOR, fill))).subarray(
        0,
        fills.length * SECTOR - cut,
      );
      const [from, to] = [a % bytes.length, b % (bytes.length + 1)].toSorted((x, y) => x - y);
      const block = new SparseBlock(bytes);
      return (
        Buffer.from(read(block, from ?? 0, to ?? 0)).equals(bytes.subarray(from, to)) && filledIsRight(block, bytes)
      );
    }),
    { numRuns: 300 },
  );
  t.pass('300 blocks');
});

function filledIsRight(block: SparseBlock, bytes: Buffer): boolean {
  const rebuilt = Buffer.alloc(bytes.length);
  for (const [from, sector] of block.filled()) rebuilt.set(sector, from);
  return rebuilt.equals(bytes);
}

test('zeros cost next to nothing', async (t) => {
  const one = Buffer.alloc(BLOCK_SIZE);
  one[BLOCK_SIZE - 1] = 1;
  t.ok(new SparseBlock(Buffer.alloc(BLOCK_SIZE)).cost < SECTOR);
  t.ok(new SparseBlock(one).cost < 2 * SECTOR);
  t.ok(new SparseBlock(Buffer.alloc(BLOCK_SIZE, 1)).cost >= BLOCK_SIZE);
});
