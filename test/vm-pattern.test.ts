import fc from 'fast-check';
import { test } from 'tap';
import { parseVmPattern } from '../src/vm-pattern.ts';

test('a pattern matches what the regular expression of it matches', async (t) => {
  const part = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), minLength: 1, maxLength: 8 });
  const glob = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-', '*', '?'), minLength: 1, maxLength: 8 });
  const isDots = (text: string): boolean => text === '.' || text === '..';
  fc.assert(
    fc.property(glob, glob, part, part, (a, b, namespace, name) => {
      fc.pre(![a, b].some(isDots));
      const expected = new RegExp(
        `^${`${a}/${b}`.replace(/[.]/g, '\\.').replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]')}$`,
      );
      const pattern = parseVmPattern(`${a}/${b}`);
      return pattern?.matches({ namespace, name }) === expected.test(`${namespace}/${name}`);
    }),
  );
  t.strictSame(parseVmPattern('demo/web')?.vm, { namespace: 'demo', name: 'web' });
  t.equal(parseVmPattern('demo/*')?.vm, undefined);
  const slow = `${'*a'.repeat(120)}b/x`;
  t.equal(parseVmPattern(slow)?.matches({ namespace: 'a'.repeat(250), name: 'x' }), false, 'and soon');
});

test('what is no NAMESPACE/NAME is no pattern', async (t) => {
  for (const text of ['', '*', 'demo', 'demo/', '/web', 'a/b/c', '../x', 'a/\0', 'a/vm-[12]', 'a/{b,c}']) {
    t.equal(parseVmPattern(text), undefined, JSON.stringify(text));
  }
});
