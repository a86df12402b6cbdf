// Each request is counted once: listings by their pages.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { countRequests } from '../../src/store/counted.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { readBytes } from '../../src/store/read-bytes.ts';
import { tempFolder } from '../helpers/tmp.ts';

test('requests are counted', async (t) => {
  const directory = tempFolder(t);
  for (const [name, keys] of Object.entries({ none: 0, page: 1000, more: 2001 })) {
    mkdirSync(join(directory, name));
    for (let key = 0; key < keys; key += 1) writeFileSync(join(directory, name, `${key}`), 'x');
  }
  let count = 0;
  const inner = await openDirectoryStore({ directory });
  const store = countRequests(inner, () => {
    count += 1;
  });
  t.teardown(() => inner.close());
  const { signal } = new AbortController();
  const requestsOf = async (work: () => Promise<unknown>): Promise<number> => {
    const before = count;
    await work();
    return count - before;
  };
  const list = async (prefix: string): Promise<void> => {
    for await (const _ of store.list(prefix, { signal }));
  };
  t.equal(await requestsOf(() => list('none/')), 1);
  t.equal(await requestsOf(() => list('page/')), 1);
  t.equal(await requestsOf(() => list('more/')), 3);
  const info = await store.head('page/1', { signal });
  t.equal(await requestsOf(() => store.head('page/1', { signal })), 1);
  t.equal(await requestsOf(() => store.start('page/1', { length: 1, signal })), 1);
  t.equal(await requestsOf(() => store.get('page/1', { maxBytes: 10, signal })), 1);
  t.equal(await requestsOf(() => readBytes(store, info, { offset: 0, length: 1, signal })), 1);
});
