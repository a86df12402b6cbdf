// What a restore needs on each file system, and what becomes of it: refused, warned of, noted, or nothing at all.
import { test } from 'tap';
import type { FreeSpace } from '../../src/free-space.ts';
import { type DiskSpace, spaceNeeds } from '../../src/restore/space-needs.ts';
import { fitOf, hasSpace, worstNeeds } from '../../src/scratch/space.ts';
import { noteOf, spaceProblem } from '../../src/scratch/space-words.ts';
import type { Strategy } from '../../src/strategy.ts';

const SPACE: FreeSpace = { pool: 'a', bytes: 1000, files: undefined, sparse: true, compresses: false };

const disk = (change: Partial<DiskSpace> = {}): DiskSpace => ({
  name: 'root',
  layerSizes: [500, 100],
  rawBytes: 5000,
  leftBytes: 0,
  file: undefined,
  ...change,
});

const needs = (
  disks: readonly DiskSpace[],
  {
    space = {},
    strategy = 'staged',
    freed = 0,
  }: { space?: Partial<FreeSpace>; strategy?: Strategy; freed?: number } = {},
) =>
  spaceNeeds({
    disks,
    strategy,
    headroomPercent: 10,
    scratch: strategy === 'stream' ? undefined : { path: '/scratch', space: { ...SPACE, ...space }, freed },
  });

const fits = (...args: Parameters<typeof needs>): string[] => needs(...args).map(fitOf);

test('headroom is advice, what is certain is not', (t) => {
  t.strictSame(needs([disk()]), [
    {
      pvc: 'root',
      where: 'scratch',
      path: '/scratch',
      file: undefined,
      pool: 'a',
      certain: 600,
      wanted: 660,
      available: 1000,
      missingFiles: 0,
    },
  ]);
  for (const [bytes, fit] of [
    [660, 'fits'],
    [659, 'tight'],
    [600, 'tight'],
    [599, 'too-small'],
    [0, 'too-small'],
    [undefined, 'unknown'],
  ] as const) {
    t.strictSame(fits([disk()], { space: { bytes } }), [fit], `${bytes}`);
  }
  t.end();
});

test('a sparse image or file of any size may fit; not where files have no holes', (t) => {
  t.strictSame(fits([disk()], { strategy: 'staged-raw' }), ['tight']);
  t.strictSame(fits([disk()], { strategy: 'staged-raw', space: { sparse: false } }), ['too-small']);
  t.strictSame(fits([disk({ rawBytes: 300 })], { strategy: 'staged-raw' }), ['fits'], '990 with headroom');
  const onto = (space: Partial<FreeSpace>) => ({
    path: '/t/d.raw',
    format: 'raw' as const,
    space: { ...SPACE, pool: 'b', ...space },
    leftBytes: 0,
  });
  for (const strategy of ['staged', 'stream'] as const) {
    const target = (space: Partial<FreeSpace>): string | undefined =>
      fits([disk({ file: onto(space) })], { strategy })[0];
    t.equal(target({}), 'tight');
    t.equal(target({ bytes: 5000 }), 'fits');
    t.equal(target({ bytes: 0 }), 'tight');
    t.equal(target({ sparse: false }), 'too-small');
    t.equal(target({ bytes: undefined }), 'unknown');
  }
  t.end();
});

test('zeros take no space in a qcow2 file, its tables do', (t) => {
  const file = {
    path: '/t/d.qcow2',
    format: 'qcow2' as const,
    space: { ...SPACE, pool: 'b', sparse: false },
    leftBytes: 0,
  };
  const rawBytes = 64 * 1024 * 10;
  t.match(needs([disk({ rawBytes, file })], { strategy: 'stream' }), [
    { where: 'target', certain: 0, wanted: rawBytes + 100 + 1024 * 1024 },
  ]);
  t.end();
});

test('nothing is certain where the file system compresses', (t) => {
  t.strictSame(fits([disk()], { space: { compresses: true, bytes: 10 } }), ['tight']);
  t.strictSame(fits([disk()], { space: { compresses: true } }), ['fits']);
  t.end();
});

test('raw files beside scratch add up with it, PVC by PVC, and with each other elsewhere', (t) => {
  const file = (pool: string, leftBytes = 0) => ({
    path: `/${pool}/d.raw`,
    format: 'raw' as const,
    space: { ...SPACE, pool },
    leftBytes,
  });
  const two = (pool: string) => [
    disk({ rawBytes: 200, file: file(pool) }),
    disk({ name: 'data', layerSizes: [100], rawBytes: 200, file: file(pool) }),
  ];
  t.match(needs(two('a')), [
    { pvc: 'root', wanted: 660 + 200, file: '/a/d.raw' },
    { pvc: 'data', wanted: 111 + 400 },
  ]);
  const elsewhere = needs(two('b'), { strategy: 'stream' });
  t.match(elsewhere, [
    { pvc: 'root', where: 'target', certain: 0, wanted: 200 },
    { pvc: 'data', where: 'target', certain: 0, wanted: 400 },
  ]);
  t.match(worstNeeds(elsewhere), [{ pvc: 'data' }], 'one file system is reported once');
  t.equal(worstNeeds(elsewhere).length, 1);
  t.match(needs(two('b')), [{ where: 'target' }, { where: 'scratch' }, { where: 'target' }, { where: 'scratch' }]);
  t.end();
});

test('what an interrupted run left counts as free for its PVC and later ones', (t) => {
  const disks = [disk(), disk({ name: 'data', leftBytes: 100 })];
  t.match(needs(disks, { freed: 7 }), [{ available: 1007 }, { available: 1107 }]);
  const partial = { path: '/a/d.raw', format: 'raw' as const, space: SPACE, leftBytes: 50 };
  t.match(needs([disk({ file: partial })]), [{ available: 1050 }]);
  t.end();
});

test('inodes are counted too, but not those of what is there already', (t) => {
  const file = { path: '/a/d.raw', format: 'raw' as const, space: { ...SPACE, files: 3 }, leftBytes: 0 };
  const missing = (change: Partial<DiskSpace>, files: number) =>
    needs([disk({ rawBytes: 1, ...change })], { space: { files } }).map(({ missingFiles }) => missingFiles);
  t.strictSame(missing({}, 3), [0], 'a directory and two layers');
  t.strictSame(missing({}, 2), [1]);
  t.strictSame(missing({ file }, 3), [1], 'and a file beside them');
  t.strictSame(missing({ leftBytes: 1 }, 0), [0]);
  t.strictSame(fits([disk()], { space: { files: 1 } }), ['too-small']);
  t.end();
});

test('what is said', (t) => {
  const words = { headroomPercent: 10, alternatives: ['use --strategy stream'] };
  const one = (space: Partial<FreeSpace>, file?: DiskSpace['file']) => {
    const [need] = needs([disk({ file })], { space });
    if (need === undefined) throw new TypeError('no need');
    return { problem: spaceProblem(need, words), note: noteOf(need, words) };
  };
  t.strictSame(one({}), { problem: undefined, note: undefined });
  t.strictSame(one({ bytes: 599 }).problem, {
    code: 'SCRATCH_FULL',
    message: 'scratch /scratch: not enough space: PVC root needs 600 B (600 bytes), 599 B (599 bytes) available',
    hint: 'free space there, or name a larger directory with --scratch, or use --strategy stream',
  });
  t.strictSame(one({ bytes: 650 }), {
    problem: undefined,
    note: {
      type: 'warning',
      pvc: 'root',
      message:
        'scratch /scratch: the file system may become full: at least 600 B (600 bytes), up to 660 B (660 bytes) needed with 10 % headroom, 650 B (650 bytes) available',
    },
  });
  const unknown = one({ bytes: undefined });
  t.match(unknown.note, { type: 'info', message: /does not report its free space; 660 B \(660 bytes\) needed$/ });
  t.notMatch(unknown.note?.message, /\D0 B/);
  t.match(one({ files: 0 }).problem, { message: /not enough inodes: PVC root needs 3 more files/ });
  const file = {
    path: '/t/d.raw',
    format: 'raw' as const,
    space: { ...SPACE, pool: 'b', sparse: false },
    leftBytes: 0,
  };
  t.strictSame(one({}, file).problem, {
    pvc: 'root',
    code: 'TARGET_FULL',
    message: 'target /t/d.raw: not enough space: PVC root needs 4.88 KiB (5000 bytes), 1000 B (1000 bytes) available',
    hint: 'free space on that file system, or restore to another one',
  });
  const sparse = { ...file, space: { ...file.space, sparse: true } };
  t.match(one({}, sparse).note, {
    message: /^target \/t\/d\.raw: the file system may become full: up to 4.88 KiB \(5000 bytes\) needed, 1000 B/,
  });
  t.ok(hasSpace(needs([disk()], { space: { bytes: undefined } })));
  t.end();
});
