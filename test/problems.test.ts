import { test } from 'tap';
import { DatamoverError, type Problem } from '../src/errors.ts';
import { collect, inPlanOrder, throwProblems, withKnown } from '../src/problems.ts';

const problem = (message: string, pvc?: string): Problem => ({
  code: 'USAGE',
  message,
  hint: '',
  ...(pvc === undefined ? {} : { pvc }),
});
const failing =
  (...problems: Problem[]) =>
  async (): Promise<never> => {
    throw DatamoverError.fromProblems(problems);
  };

test('a check that fails leaves its problems, and what is no problem is thrown', async (t) => {
  const problems: Problem[] = [];
  t.equal(await collect(problems, () => 7), 7);
  t.equal(await collect(problems, failing(problem('a'), problem('b'))), undefined);
  const now = (): never => {
    throw new DatamoverError('TARGET_FULL', 'c');
  };
  t.equal(await collect(problems, now), undefined, 'thrown at once');
  t.match(problems, [{ message: 'a' }, { message: 'b' }, { code: 'TARGET_FULL' }]);
  for (const code of ['CANCELLED', 'INTERNAL', 'SCRATCH_BUSY'] as const) {
    const alone = async (): Promise<never> => {
      throw new DatamoverError(code, 'alone');
    };
    await t.rejects(collect(problems, alone), { code });
    await t.rejects(withKnown([problem('known')], alone), { code });
  }
  const bug = async (): Promise<never> => {
    throw new TypeError('bug');
  };
  await t.rejects(collect(problems, bug), { message: 'bug' });
  t.equal(problems.length, 3);
});

test('what was known is reported with what a step finds', async (t) => {
  t.equal(await withKnown([problem('known')], () => 7), 7);
  await t.rejects(withKnown([problem('known')], failing(problem('found'))), {
    message: 'known',
    problems: [{ message: 'known' }, { message: 'found' }],
  });
  await t.rejects(withKnown([], failing(problem('found'))), { message: 'found' });
});

test('PVC by PVC as the plan has them, then what concerns no single one', (t) => {
  const pvcs = [{ name: 'b' }, { name: 'a' }];
  const problems = [problem('1'), problem('2', 'a'), problem('3', 'b'), problem('4'), problem('5', 'a')];
  const order = ['3', '2', '5', '1', '4'];
  t.strictSame(
    inPlanOrder(problems, pvcs).map(({ message }) => message),
    order,
  );
  t.throws(() => throwProblems(problems, { pvcs }), { message: '3' });
  t.doesNotThrow(() => throwProblems([], { pvcs }));
  t.end();
});
