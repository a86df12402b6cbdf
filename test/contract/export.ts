// What every Export must do (src/nbd/export.ts), run on each implementation.
import fc from 'fast-check';
import { type Test, test } from 'tap';
import type { Export, ExportData } from '../../src/nbd/export.ts';
import { isFilled } from '../helpers/filled.ts';

export interface ExportUnderTest {
  readonly export: Export;
  /** The true bytes; at least 64 KiB and a length that is no multiple of 512 make the best test. */
  readonly bytes: Uint8Array;
  readonly close?: () => Promise<void>;
}

/** Adds the suite, as one test, for the implementation that `open` makes anew for every case. */
export function exportContract(name: string, open: (t: Test) => Promise<ExportUnderTest>): void {
  test(`${name} is an Export`, async (t) => {
    for (const [sentence, check] of CASES) {
      await t.test(sentence, async (t) => {
        const subject = await open(t);
        try {
          await check(t, subject);
        } finally {
          await subject.close?.();
        }
      });
    }
  });
}

type Case = (t: Test, subject: ExportUnderTest) => Promise<void>;

const never = (): AbortSignal => new AbortController().signal;

const CASES: readonly (readonly [string, Case])[] = [
  [
    'says its size and gives all its bytes',
    async (t, { export: subject, bytes }) => {
      t.equal(subject.size, bytes.length);
      t.ok(bytes.length > 0 && Buffer.byteLength(subject.name) <= 4096);
      t.ok(join(await subject.read(0, bytes.length, never())).equals(bytes), 'the very bytes');
    },
  ],
  [
    'gives any range, exactly as long as asked, the last byte too',
    async (t, { export: subject, bytes }) => {
      const range = rangeOf(bytes.length);
      await fc.assert(
        fc.asyncProperty(range, async ([offset, length]) => {
          const data = await subject.read(offset, length, never());
          const same = join(data).equals(bytes.subarray(offset, offset + length));
          data.release?.();
          return same;
        }),
        { numRuns: 200, examples: [[[bytes.length - 1, 1]], [[0, 1]]] },
      );
      t.pass('200 ranges');
    },
  ],
  [
    'answers many reads at a time, none of which waits for the release of another',
    async (t, { export: subject, bytes }) => {
      const ranges = fc.sample(rangeOf(bytes.length), { numRuns: 100, seed: 7 });
      const all = await Promise.all(ranges.map(([offset, length]) => subject.read(offset, length, never())));
      for (const [index, [offset, length]] of ranges.entries()) {
        const data = all[index];
        if (data === undefined || !join(data).equals(bytes.subarray(offset, offset + length))) {
          t.fail(`[${offset}, +${length}) differs while others are held`);
        }
      }
      for (const data of all.reverse()) data.release?.();
      t.pass('100 reads held at the same time keep their bytes');
      const again = await subject.read(0, bytes.length, never());
      t.ok(join(again).equals(bytes), 'reads after all were released');
      again.release?.();
    },
  ],
  [
    'rejects with the reason of a signal that was aborted before',
    async (t, { export: subject }) => {
      const reason = new Error('gone');
      await t.rejects(subject.read(0, 1, AbortSignal.abort(reason)), reason);
    },
  ],
  [
    'ends a read that is aborted meanwhile, and reads on for others',
    async (t, { export: subject, bytes }) => {
      const gone = new AbortController();
      const reads = fc
        .sample(rangeOf(bytes.length), { numRuns: 20, seed: 8 })
        .map(([offset, length]) => subject.read(offset, length, gone.signal));
      gone.abort(new Error('gone'));
      for (const outcome of await Promise.allSettled(reads)) {
        if (outcome.status === 'fulfilled') outcome.value.release?.();
      }
      t.ok(join(await subject.read(0, bytes.length, never())).equals(bytes));
    },
  ],
  [
    'tells only true extents, from the offset on',
    async (t, { export: subject, bytes }) => {
      const ranges = subject.extents === undefined ? [] : fc.sample(rangeOf(bytes.length), { numRuns: 100, seed: 9 });
      for (const [offset, length] of ranges) {
        const extents = (await subject.extents?.(offset, length, never())) ?? [];
        if (extents.length === 0) t.fail(`no extent for [${offset}, +${length})`);
        let at = offset;
        for (const extent of extents) {
          if (!Number.isSafeInteger(extent.length) || extent.length < 1) t.fail(`an extent of ${extent.length} bytes`);
          const end = at + extent.length;
          if (extent.zero && !isFilled(bytes.subarray(at, end))) t.fail(`[${at}, ${end}) is not zero`);
          at = end;
        }
      }
      t.pass(`${ranges.length} ranges`);
    },
  ],
];

function rangeOf(size: number): fc.Arbitrary<[number, number]> {
  return fc
    .integer({ min: 0, max: size - 1 })
    .chain((offset) => fc.tuple(fc.constant(offset), fc.integer({ min: 1, max: size - offset })));
}

function join(data: ExportData): Buffer {
  return Buffer.concat(data.chunks);
}
