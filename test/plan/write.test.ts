import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { test } from 'tap';
import { placeholderProblems, placeholderTarget } from '../../src/plan/placeholder.ts';
import type { Plan, PlanLayer } from '../../src/plan/plan.ts';
import { readPlan } from '../../src/plan/read.ts';
import { writePlan } from '../../src/plan/write.ts';

const plain: Plan = {
  version: 1,
  source: { kind: 'directory', directory: '/bucket' },
  vm: { namespace: 'demo', name: 'web' },
  pvcs: [
    {
      name: 'rootdisk',
      target: '/dev/x',
      size: 10 * 2 ** 30,
      chain: [
        { checkpoint: 'cp-001', type: 'full', object: 'a/1', size: 7 },
        { checkpoint: 'cp-002', type: 'incremental', parent: 'cp-001', object: 'a/2' },
      ],
    },
  ],
};

test('a plan is written for people', async (t) => {
  const yaml = writePlan(plain, { top: ['Restores it.'], pvcs: new Map([['rootdisk', ['10 GiB']]]) });
  t.equal(
    yaml,
    `# Restores it.

version: 1
source:
  directory: /bucket
vm: demo/web
pvcs:
  # 10 GiB
  - name: rootdisk
    target: /dev/x
    size: 10Gi
    chain:
      - { checkpoint: cp-001, type: full, object: a/1, size: 7 }
      - { checkpoint: cp-002, type: incremental, parent: cp-001, object: a/2 }
`,
  );
});

/** Names that YAML would take for something else, or that could break out of where they stand. */
const word = fc
  .oneof(
    fc.constantFrom(
      '001',
      'true',
      'null',
      '~',
      '1e3',
      '0x10',
      '- a',
      'a: b',
      '# c',
      '{',
      '*a',
      '&a',
      '!x',
      '%',
      '"',
      "'",
      ' x ',
      '|',
      '>',
      '---',
      '...',
      '@',
      '`',
      '<<',
    ),
    fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }),
  )
  .filter((text) => !/[/\p{Cc}\uFFFD]/u.test(text) && text !== '.' && text !== '..' && text.isWellFormed());

const layers = fc
  .uniqueArray(fc.tuple(word, word), { minLength: 1, maxLength: 4, selector: ([checkpoint]) => checkpoint })
  .map((names): [PlanLayer, ...PlanLayer[]] => {
    const all = names.map(
      ([checkpoint, file], index): PlanLayer => ({
        checkpoint,
        type: index === 0 ? 'full' : 'incremental',
        ...(index === 0 ? {} : { parent: names[index - 1]?.[0] ?? '' }),
        object: `o/${index}/${file}`,
        size: index * 1000,
      }),
    );
    const [first = { checkpoint: 'c', type: 'full', object: 'o' }, ...rest] = all;
    return [first, ...rest];
  });

test('what is written is read back the same, whatever the names', async () => {
  const pvc = fc.record(
    {
      name: word,
      target: word.map((text) => `/nowhere/${text}`),
      size: fc.maxSafeNat(),
      chain: layers,
    },
    { noNullPrototype: true },
  );
  const property = fc.asyncProperty(pvc, word, word, async (one, bucket, comment) => {
    const plan: Plan = {
      version: 1,
      source: {
        kind: 's3',
        bucket: bucket.replaceAll(' ', '-'),
        prefix: comment,
        region: comment,
        insecureSkipTLSVerify: true,
      },
      scratch: { path: '/scratch', headroomPercent: 20 },
      backup: comment,
      vm: { namespace: bucket, name: comment },
      pvcs: [one],
    };
    const yaml = writePlan(plan, { top: [`a\n${comment}`], pvcs: new Map([[one.name, [`b\r${comment}: x`]]]) });
    deepStrictEqual(await readPlan({ text: yaml, cwd: '/' }), plan);
  });
  await fc.assert(property, { numRuns: 300 });
});

test('a placeholder target is refused by name, and only where it is used', async (t) => {
  const plan: Plan = {
    ...plain,
    pvcs: [
      { name: 'a', target: placeholderTarget('a') },
      { name: 'b', target: '/dev/b' },
    ],
  };
  t.match(placeholderProblems(plan), [
    { pvc: 'a', code: 'PLAN_INVALID', message: /target of PVC a is still the placeholder \/dev\/REPLACE-ME-a/ },
  ]);
  t.strictSame(placeholderProblems(plan, { pvcs: ['b'] }), []);
  t.strictSame(placeholderProblems(plain), []);
});
