import { test } from 'tap';
import { type ChainLink, findChainFlaw } from '../src/chain-order.ts';

/** `a! b<a c<b`: a is full, b and c are incremental on a and b; `b<` names no parent. */
function links(text: string): ChainLink[] {
  return text.split(' ').map((word) => {
    const [checkpoint = '', parent] = word.replace('!', '').split('<');
    return { checkpoint, type: word.includes('!') ? 'full' : 'incremental', ...(parent ? { parent } : {}) };
  });
}

test('a full and incrementals, each on the one before, are in order', async (t) => {
  for (const chain of ['a!', 'a! b<a', 'a! b<a c<b'])
    t.equal(findChainFlaw(links(chain), { parents: 'required' }), undefined, chain);
  t.equal(findChainFlaw(links('a! b c'), { parents: 'optional' }), undefined);
  t.equal(findChainFlaw([], { parents: 'required' }), undefined);
});

test('every other order is told with its place', async (t) => {
  const cases: [chain: string, index: number, message: RegExp, hint: RegExp][] = [
    ['a', 0, /a is first in the chain, but it is incremental/, /put the full that/],
    ['b<a a!', 0, /b is first/, /such as a$/],
    ['a! b<a c! d<c', 2, /c is full, in the middle/, /starts at c,/],
    ['a! b! c! d<c', 1, /b is full, in the middle/, /starts at c,/],
    ['a! c<b b<a', 1, /c builds on b, but the one before it in the chain is a/, /with b between a and c/],
    ['a! b<a b<a', 2, /b occurs twice in the chain/, /once/],
    ['a! a!', 1, /a occurs twice in the chain/, /once/],
    ['a!<z b<a', 0, /a is the chain's full, but it names a parent, z/, /no parent/],
    ['a! b', 1, /b is incremental, but names no parent/, /nothing proves/],
  ];
  for (const [chain, index, message, hint] of cases) {
    const flaw = findChainFlaw(links(chain), { parents: 'required' });
    t.equal(flaw?.index, index, chain);
    t.match(flaw?.message, message, chain);
    t.match(flaw?.hint, hint, chain);
  }
});
