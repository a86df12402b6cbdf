// The store of Google Cloud Storage over the translator: the contract, and what only this store has.
import { createHash } from 'node:crypto';
import { type Test, test } from 'tap';
import { openGcsStore } from '../../../src/store/gcs/gcs.ts';
import {
  listed,
  patternedBytes,
  readAll,
  rejectsWith,
  type StoreUnderTest,
  storeContract,
} from '../../contract/store.ts';
import { crc32cOf } from '../../helpers/crc32c.ts';
import { type Gcs, startGcs } from '../../helpers/gcs.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';

const PREFIX = 'velero/-kubevirt-datamover';
const signal = new AbortController().signal;

async function storeOf(t: Test, prefix = PREFIX): Promise<StoreUnderTest & { readonly gcs: Gcs }> {
  const gcs = await startGcs(t);
  const bucket = await gcs.createBucket();
  const store = await openGcsStore(
    { bucket, prefix, endpoint: gcs.origin, credentialsFile: gcs.credentials() },
    { concurrency: 4, env: {}, onRetry: ({ reason }) => t.fail(`tried again: ${reason}`) },
  );
  t.teardown(() => store.close());
  const before = prefix === '' ? '' : `${prefix}/`;
  return {
    gcs,
    store,
    put: (key, bytes) => gcs.rgw.put(bucket, `${before}${key}`, bytes),
    remove: (key) => gcs.rgw.remove(bucket, `${before}${key}`),
  };
}

test('the contract', async (t) => {
  if (requires(t, ...RGW_TOOLS)) await storeContract(t, 'gcs', (t) => storeOf(t));
});

test('no prefix, and a listing of several pages', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, put } = await storeOf(t, '');
  const names = Array.from({ length: 1010 }, (_, index) => `many/${String(index).padStart(4, '0')}&<ü>+'"`);
  for (let first = 0; first < names.length; first += 16) {
    await Promise.all(names.slice(first, first + 16).map((name) => put(name, Buffer.from('12'))));
  }
  t.same(await listed(store, ''), [{ kind: 'prefix', key: 'many/' }]);
  t.same(
    await listed(store, 'many/'),
    names.map((key) => ({ kind: 'object', key, size: 2 })),
  );
  t.equal((await store.get(names[5] ?? '', { maxBytes: 2, signal })).length, 2);
});

test('the checksums that an object has', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, store, put } = await storeOf(t);
  const bytes = patternedBytes(5000);
  await put('object', bytes);
  const crc32c = { algorithm: 'crc32c', hex: crc32cOf(bytes).toString(16).padStart(8, '0') };
  const md5 = { algorithm: 'md5', hex: createHash('md5').update(bytes).digest('hex') };
  t.same((await store.head('object', { signal })).checksums, [crc32c, md5]);
  gcs.composite = true;
  t.same((await store.head('object', { signal })).checksums, [crc32c]);
  for (const hash of ['crc32c=AAA=,md5=AAAA', 'crc32c=****', '']) {
    gcs.headers.set('object', { 'x-goog-hash': hash });
    t.same((await store.head('object', { signal })).checksums, [], hash);
  }
});

test('reads are of the generation that was found', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, store, put } = await storeOf(t);
  await put('object', patternedBytes(100));
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 10, length: 50, etag, size, signal };
  await readAll(store, 'object', range);
  gcs.generation = 'uploaded again, with the same content and ETag';
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range));
  const found = await store.head('object', { signal });
  t.equal((await readAll(store, 'object', { ...range, etag: found.etag })).length, 50);
});

test('an object that the service decompresses', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, store, put } = await storeOf(t);
  await put('object', patternedBytes(100));
  const { etag, size } = await store.head('object', { signal });
  gcs.headers.set('object', { 'x-goog-stored-content-encoding': 'gzip', warning: '214 UploadServer gunzipped' });
  const calls = [
    () => store.head('object', { signal }),
    () => store.get('object', { maxBytes: 100, signal }),
    () => readAll(store, 'object', { offset: 0, length: 100, etag, size, signal }),
  ];
  for (const call of calls) {
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', call);
    t.match(error, { message: /stored with Content-Encoding: gzip/, hint: /without compression/ });
  }
});
