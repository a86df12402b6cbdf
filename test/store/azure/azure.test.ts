// The Azure store on a real server: the contract with each kind of credentials that needs no authority, and what only Azure has.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { AzureOptions } from '../../../src/azure-options.ts';
import { openAzureStore } from '../../../src/store/azure/azure.ts';
import { listed, patternedBytes, rejectsWith, type StoreUnderTest, storeContract } from '../../contract/store.ts';
import { AZURITE_TOOLS, startAzurite } from '../../helpers/azurite.ts';
import { requires } from '../../helpers/requires.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const PREFIX = 'velero/-kubevirt-datamover';
const signal = new AbortController().signal;

async function storeOf(t: Test, how: 'key' | 'sas' | 'file' = 'key', prefix = PREFIX): Promise<StoreUnderTest> {
  const azurite = await startAzurite(t);
  const container = await azurite.createContainer();
  const { account, endpoint } = azurite;
  const file = join(tempFolder(t), 'credentials');
  const options: AzureOptions = { account, container, prefix, endpoint };
  if (how === 'sas') writeFileSync(file, `?${azurite.sas(container)}\n`);
  if (how === 'file')
    writeFileSync(file, `AZURE_STORAGE_ACCOUNT_ACCESS_KEY=${azurite.key}\nAZURE_CLOUD_NAME=AzurePublicCloud\n`);
  const named = { key: {}, sas: { sasTokenFile: file }, file: { credentialsFile: file } }[how];
  const store = await openAzureStore(
    { ...options, ...named },
    {
      concurrency: 4,
      env: how === 'key' ? azurite.env : {},
      onRetry: ({ reason }) => t.fail(`tried again: ${reason}`),
    },
  );
  t.teardown(() => store.close());
  const before = prefix === '' ? '' : `${prefix}/`;
  return {
    store,
    put: (key, bytes) => azurite.put(container, `${before}${key}`, bytes),
    remove: (key) => azurite.remove(container, `${before}${key}`),
  };
}

test('the contract, with the account key', async (t) => {
  if (requires(t, ...AZURITE_TOOLS)) await storeContract(t, 'azure', (t) => storeOf(t, 'key'));
});

test('the contract, with a shared access signature', async (t) => {
  if (requires(t, ...AZURITE_TOOLS)) await storeContract(t, 'azure', (t) => storeOf(t, 'sas'));
});

test("Velero's file, and no prefix", async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  const { store, put } = await storeOf(t, 'file', '');
  await put('a/b', Buffer.from('x'));
  t.same(await listed(store, ''), [{ kind: 'prefix', key: 'a/' }]);
  t.same(await listed(store, 'a/'), [{ kind: 'object', key: 'a/b', size: 1 }]);
});

test('a listing of several pages', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  const { store, put } = await storeOf(t);
  const names = Array.from({ length: 1010 }, (_, index) => `many/${String(index).padStart(4, '0')}&<ü>'"`);
  await Promise.all(names.map((name) => put(name, Buffer.from('12'))));
  t.same(
    await listed(store, 'many/'),
    names.map((key) => ({ kind: 'object', key, size: 2 })),
  );
});

test('the MD5 that a blob has', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  const { store, put } = await storeOf(t);
  const bytes = patternedBytes(5000);
  await put('blob', bytes);
  const { checksums } = await store.head('blob', { signal });
  t.same(checksums, [{ algorithm: 'md5', hex: createHash('md5').update(bytes).digest('hex') }]);
});

test('snapshots and deleted blobs are left alone', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  const azurite = await startAzurite(t);
  const container = await azurite.createContainer();
  const { account, endpoint } = azurite;
  const store = await openAzureStore({ account, container, endpoint }, { concurrency: 1, env: azurite.env });
  t.teardown(() => store.close());
  const client = azurite.service.getContainerClient(container);
  await azurite.put(container, 'a', 'old');
  await client.getBlobClient('a').createSnapshot();
  await azurite.put(container, 'a', 'newer');
  await azurite.put(container, 'b', 'gone');
  await client.getBlobClient('b').delete({ deleteSnapshots: 'include' });
  t.same(await listed(store, ''), [{ kind: 'object', key: 'a', size: 5 }]);
  t.equal(Buffer.from(await store.get('a', { maxBytes: 100, signal })).toString(), 'newer');
  await client.deleteBlob('a', { deleteSnapshots: 'include' });
});

test('an archived blob', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  const azurite = await startAzurite(t);
  const container = await azurite.createContainer();
  const { account, endpoint } = azurite;
  await azurite.put(container, 'disk.qcow2', 'x');
  await azurite.service.getContainerClient(container).getBlobClient('disk.qcow2').setAccessTier('Archive');
  const store = await openAzureStore({ account, container, endpoint }, { concurrency: 1, env: azurite.env });
  t.teardown(() => store.close());
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('disk.qcow2', { signal }));
  t.match(error, { message: /archive tier \(409 BlobArchived\)/, hint: /rehydrate/ });
});
