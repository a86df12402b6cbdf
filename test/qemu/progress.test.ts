// The progress of `qemu-img -p`, however the pipe cuts it.
import { test } from 'tap';
import { progressReader } from '../../src/qemu/progress.ts';

const CASES: readonly [string, readonly string[], readonly number[]][] = [
  ['one piece each', ['    (0.00/100%)\r', '    (12.50/100%)\r', '    (100.00/100%)\r\n'], [0, 0.125, 1]],
  ['several in one piece: the newest', ['    (0.00/100%)\r    (25.00/100%)\r    (50.00/100%)\r'], [0.5]],
  ['cut within a number', ['    (25.0', '0/100%)\r    (7', '5.00/100', '%)\r'], [0.25, 0.75]],
  [
    'never backwards, never twice',
    ['(50.00/100%)\r', '(50.00/100%)\r', '(25.00/100%)\r', '(75.00/100%)\r'],
    [0.5, 0.75],
  ],
  ['never above 1', ['(100.01/100%)\r'], [1]],
  ['other text', ['Images are identical.\n', ')', '(x/100%)', ''], []],
];

for (const [title, pieces, expected] of CASES) {
  test(title, async (t) => {
    const seen: number[] = [];
    const read = progressReader((fraction) => seen.push(fraction));
    for (const piece of pieces) read(piece);
    t.strictSame(seen, expected);
  });
}
