import { test } from 'tap';
import { whyNoKey, whyNoName } from '../src/object-key.ts';

test('keys stay inside of the source', async (t) => {
  for (const key of ['a', 'a/b/c.qcow2', 'a..b', '..a/b', 'ä/ö', 'a b', `${'x'.repeat(1024)}`])
    t.equal(whyNoKey(key), undefined, key);
  const bad = {
    '': /empty/,
    '/a': /absolute/,
    'a/': /ends/,
    '../a': /contains '\.\.'/,
    'a/../b': /contains '\.\.'/,
    'a/..': /contains '\.\.'/,
    'a//b': /empty segment/,
  };
  for (const [key, why] of Object.entries(bad)) t.match(whyNoKey(key), why, key);
  t.match(whyNoKey('a\0b'), /NUL/);
  t.match(whyNoKey('a/./b'), /segment '\.'/);
  t.match(whyNoKey('ä'.repeat(513)), /1024 bytes/);
});

test('a name is one segment of a key', async (t) => {
  for (const name of ['web', 'my-vm-pvc-0', 'a.b', '...', 'Müller', 'x'.repeat(255)])
    t.equal(whyNoName(name), undefined, name);
  for (const name of ['', '.', '..', 'a/b', 'a\0', 'a\nb', '\x7f', '\x85', 'x'.repeat(256)])
    t.type(whyNoName(name), 'string', JSON.stringify(name));
});
