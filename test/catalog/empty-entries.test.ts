import { test } from 'tap';
import { hasEmptyEntries, isEmptyEntry } from '../../src/catalog/empty-entries.ts';
import { parseVmIndex } from '../../src/catalog/vm-index.ts';
import { history } from '../helpers/catalog.ts';

test('the zero values that Go writes are empty, anything else is not', async (t) => {
  const zeroed = { id: '', timestamp: '0001-01-01T00:00:00Z', files: null, pvcs: [], size: 0, nested: { name: '' } };
  for (const value of [null, '', {}, [], zeroed, [zeroed, '']]) t.ok(isEmptyEntry(value), JSON.stringify(value));
  for (const value of ['x', 1, true, { id: 'cp-1' }, { name: '', checkpointId: 'cp-1' }, ['x']]) {
    t.notOk(isEmptyEntry(value), JSON.stringify(value));
  }
});

test('they are seen only where they are ignored', async (t) => {
  const index = history('1!root 2root');
  t.notOk(hasEmptyEntries(index));
  index.checkpoints[0]?.pvcs.push('');
  t.notOk(hasEmptyEntries(index), 'a PVC without a name has its place in the list');
  index.checkpoints[0]?.referencedBy.push('');
  t.ok(hasEmptyEntries(index));
});

test('a document that is nested a million times is no danger', async (t) => {
  const deep = JSON.parse(`${'{"vms":['.repeat(500_000)}${']}'.repeat(500_000)}`);
  t.notOk(hasEmptyEntries(deep));
  t.notOk(isEmptyEntry(deep));
  t.match(parseVmIndex({ checkpoints: [deep] }, { namespace: 'demo', name: 'web' }).entries, [{ id: undefined }]);
});

test('an entry that is wrong says what is wrong with it, not that it is not empty', async (t) => {
  const index = history('1!root 2root');
  Object.assign(index.checkpoints[1] ?? {}, { referencedBy: ['b2', 7] });
  const [, second] = parseVmIndex(index, { namespace: 'demo', name: 'web' }).entries;
  t.match(second?.flaw, /checkpoints\[1\]\.referencedBy\[1\]: .*expected string/i);
  t.strictSame(second?.referencedBy, ['b2'], 'the rest of it is still known');
});
