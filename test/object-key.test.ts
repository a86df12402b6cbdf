import { test } from 'tap';
import { invalidKeyReason, invalidNameReason } from '../src/object-key.ts';

test('keys stay inside of the source', async (t) => {
  for (const key of ['a', 'a/b/c.qcow2', 'a..b', '..a/b', 'ä/ö', 'a b', `${'x'.repeat(1024)}`])
    t.equal(invalidKeyReason(key), undefined, key);
  const bad = {
    '': /empty/,
    '/a': /absolute/,
    'a/': /ends/,
    '../a': /contains '\.\.'/,
    'a/../b': /contains '\.\.'/,
    'a/..': /contains '\.\.'/,
    'a//b': /empty segment/,
  };
  for (const [key, why] of Object.entries(bad)) t.match(invalidKeyReason(key), why, key);
  t.match(invalidKeyReason('a\0b'), /NUL/);
  t.match(invalidKeyReason('a/./b'), /segment '\.'/);
  t.match(invalidKeyReason('ä'.repeat(513)), /1024 bytes/);
});

test('a name is one segment of a key', async (t) => {
  for (const name of ['web', 'my-vm-pvc-0', 'a.b', '...', 'Müller', 'x'.repeat(255)])
    t.equal(invalidNameReason(name), undefined, name);
  for (const name of ['', '.', '..', 'a/b', 'a\0', 'a\nb', '\x7f', '\x85', 'x'.repeat(256)])
    t.type(invalidNameReason(name), 'string', JSON.stringify(name));
});
