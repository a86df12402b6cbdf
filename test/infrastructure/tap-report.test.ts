// What scripts/test counts and prints: nothing that went wrong may look like a pass.
import { test } from 'tap';
import { TapReport } from '../../scripts/lib/test/tap-report.ts';

const FAILING = `TAP version 14
1..2
# Subtest: test/a.test.ts
    # Subtest: adds
        ok 1 - one
        not ok 2 - two
          ---
          diff: |
            -2
            +1
          ...
        ok 3 - three # SKIP needs losetup
        1..3
    not ok 1 - adds # time=39.862ms
      ---
      at: somewhere
      ...
    noise
    1..1
    # time=103.979ms
    # cpu=1230ms
not ok 1 - test/a.test.ts # time=103.979ms
  ---
  command: node
  exitCode: 1
  ...

# Subtest: test/b.test.ts
    # Subtest: works
        ok 1 - yes
        1..1
    ok 1 - works # time=1ms
    1..1
ok 2 - test/b.test.ts # time=5ms

# { total: 4, pass: 2, fail: 1, skip: 1 }
# time=3670.99ms`;

function report(tap: string, { skipsFail, status }: { readonly skipsFail: boolean; readonly status: number }) {
  const printed: string[] = [];
  const reader = new TapReport({ skipsFail, print: (line) => printed.push(line) });
  for (const line of tap.split('\n')) reader.line(line);
  return { ...reader.end(status), printed };
}

test('a failure is shown with where it is and its diagnosis', async (t) => {
  const { printed, cpuMs } = report(FAILING, { skipsFail: false, status: 1 });
  t.equal(cpuMs, 1230);
  t.same(printed, [
    '  skip: adds > three: needs losetup',
    'FAILED test/a.test.ts 0.1 s, CPU 1.2 s',
    '  not ok: adds > two',
    '    diff: |',
    '      -2',
    '      +1',
    '  | noise',
    '  exitCode: 1',
    'ok     test/b.test.ts 0.0 s',
    '1 skipped or to do',
  ]);
});

test('a skip is no failure on a laptop, and one in CI', async (t) => {
  t.match(report(FAILING, { skipsFail: false, status: 1 }), { passed: 2, failed: 1 });
  t.match(report(FAILING, { skipsFail: true, status: 1 }), { passed: 2, failed: 2 });
});

test('a run that ended without totals failed', async (t) => {
  t.match(report('TAP version 14', { skipsFail: false, status: 0 }), { passed: 0, failed: 1 });
});

test('an exit status that no failure explains is a failure', async (t) => {
  t.match(report('# { total: 1, pass: 1 }', { skipsFail: false, status: 7 }), { passed: 1, failed: 1 });
});

test('a file that ran nothing failed', async (t) => {
  const tap = '# Subtest: test/b.test.ts\n    1..0 # no tests found\nok 2 - test/b.test.ts # SKIP no tests found\n';
  const totals = '# { total: 1, pass: 0, skip: 1 }';
  t.match(report(tap + totals, { skipsFail: false, status: 0 }), { passed: 0, failed: 1 });
  t.match(report(tap + totals, { skipsFail: true, status: 0 }), { passed: 0, failed: 1 });
});
