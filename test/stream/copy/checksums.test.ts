// What is summed up as it is received, in any order, is what is read back in the order of the disk.
import fc from 'fast-check';
import { test } from 'tap';
import { dataRuns, ZERO_BLOCK } from '../../../src/data-runs.ts';
import { findDifference } from '../../../src/stream/copy/read-back.ts';
import { SectionChecksums } from '../../../src/stream/copy/section-checksums.ts';
import { KiB, MiB } from '../../../src/units.ts';

const { signal } = new AbortController();
const DISK = 130 * MiB + 512;

/** 130 MiB of which a few blocks hold data. */
function makeDisk(): Buffer {
  const disk = Buffer.alloc(DISK);
  for (let at = 0; at < DISK; at += 7 * MiB) disk.fill(`${at}`, at, at + 100 * KiB);
  disk.write('end', DISK - 512);
  return disk;
}

/** As a copy sees it: in pieces, the zeros by themselves, all in a random order. */
function witness(disk: Buffer, range: { offset: number; length: number }): SectionChecksums {
  const checksums = new SectionChecksums(range);
  const parts: { offset: number; length: number }[] = [];
  for (let at = 0; at < disk.length; at += 3 * MiB)
    parts.push({ offset: at, length: Math.min(3 * MiB, disk.length - at) });
  for (const { offset, length } of fc.sample(fc.shuffledSubarray(parts, { minLength: parts.length }), 1)[0] ?? []) {
    const bytes = disk.subarray(offset, offset + length);
    if (bytes.every((byte) => byte === 0)) checksums.sawZeros({ offset, length });
    else checksums.sawBytes(bytes, offset);
  }
  return checksums;
}

async function differenceOf(checksums: SectionChecksums, target: Buffer) {
  let done = 0;
  const found = await findDifference({
    sections: checksums.inOrder(),
    read: async (room, offset) => void target.copy(room, 0, offset, offset + room.length),
    onDone: (count) => {
      done += count;
    },
    signal,
  });
  return { found: found && { offset: found.offset, length: found.length }, done };
}

test('a target that holds what was received, and one that differs in a byte', async (t) => {
  const disk = makeDisk();
  for (const range of [
    { offset: 0, length: DISK },
    { offset: MiB, length: DISK - 2 * MiB },
  ]) {
    const checksums = witness(disk, range);
    t.strictSame(await differenceOf(checksums, disk), { found: undefined, done: range.length });
    for (const at of [range.offset, 64 * MiB - 1, 64 * MiB, range.offset + range.length - 1]) {
      const other = Buffer.from(disk);
      other.writeUInt8((other.readUInt8(at) + 1) % 256, at);
      const { found } = await differenceOf(checksums, other);
      const isInside = found !== undefined && found.offset <= at && at < found.offset + found.length;
      t.ok(isInside, `the section that holds byte ${at}`);
    }
  }
  t.throws(
    () => [...new SectionChecksums({ offset: 0, length: DISK }).inOrder()],
    TypeError,
    'not before all was seen',
  );
});

test('a read that fails is what it rejects with, after the others have ended', async (t) => {
  const checksums = witness(makeDisk(), { offset: 0, length: DISK });
  let under = 0;
  const failing = findDifference({
    sections: checksums.inOrder(),
    read: async (_room, offset) => {
      under += 1;
      await new Promise((resolve) => setImmediate(resolve));
      under -= 1;
      if (offset === 8 * MiB) throw new Error('broken');
    },
    onDone: () => {},
    signal,
  });
  await t.rejects(failing, { message: 'broken' });
  t.equal(under, 0);
});

test('runs of data between blocks of zeros', async (t) => {
  const cells = fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(cells, fc.integer({ min: 1, max: ZERO_BLOCK }), (blocks, last) => {
      const bytes = Buffer.alloc((blocks.length - 1) * ZERO_BLOCK + last);
      // One byte, at the end of its block, is enough.
      for (const [index, cell] of blocks.entries()) {
        if (cell === 1) bytes[Math.min((index + 1) * ZERO_BLOCK, bytes.length) - 1] = 1;
      }
      const runs = dataRuns(bytes);
      const covered = blocks.map((_, index) =>
        runs.some(([start, end]) => start <= index * ZERO_BLOCK && index * ZERO_BLOCK < end),
      );
      const apart = runs.every(([start], index) => index === 0 || start > (runs[index - 1]?.[1] ?? 0));
      return (
        apart && covered.every((is, index) => is === (blocks[index] === 1)) && (runs.at(-1)?.[1] ?? 0) <= bytes.length
      );
    }),
  );
  t.pass('as many runs as fast-check makes');
});
