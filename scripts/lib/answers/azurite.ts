// What a server of Azure's blobs answers: Azurite, asked by Microsoft's own client.
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { startAzurite } from '../../../test/helpers/azurite.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import { tapped } from './ask.ts';
import type { Recording } from './main.ts';

const HOUR_MS = 3_600_000;

export async function recordAzurite(t: Owner): Promise<Recording[]> {
  const { origin, account, key, service, sas } = await startAzurite(t);
  const container = 'backups';
  await service.createContainer(container);
  t.teardown(() => service.deleteContainer(container));
  await service.getContainerClient(container).getBlockBlobClient('disk.qcow2').upload('bytes', 5);
  const recordings: Recording[] = [];
  const record = async (
    name: string,
    asked: string,
    send: (client: BlobServiceClient) => Promise<unknown>,
    { secret = key, query = '' }: { readonly secret?: string; readonly query?: string } = {},
  ): Promise<void> => {
    const bytes = await tapped(Number(new URL(origin).port), async (relay) => {
      const url = `http://127.0.0.1:${relay}/${account}`;
      const options = { retryOptions: { maxTries: 1 }, keepAliveOptions: { enable: false } };
      const client =
        query === ''
          ? new BlobServiceClient(url, new StorageSharedKeyCredential(account, secret), options)
          : new BlobServiceClient(`${url}?${query}`, undefined, options);
      await send(client).catch(() => {});
    });
    recordings.push({ name: `azurite-${name}`, asked, over: 'http', bytes });
  };
  const get =
    (name: string, first = 0, more: object = {}, from = container) =>
    (client: BlobServiceClient) =>
      client.getContainerClient(from).getBlobClient(name).download(first, 1, more);
  await record('no-such-blob', 'a blob that is not found', get('none'));
  await record('no-such-container', 'a container that is not found', get('disk.qcow2', 0, {}, 'backups-none'));
  await record('wrong-key', 'another key', get('disk.qcow2'), { secret: Buffer.from('EXAMPLE').toString('base64') });
  const past = { startsOn: new Date(Date.now() - 2 * HOUR_MS), expiresOn: new Date(Date.now() - HOUR_MS) };
  await record('sas-expired', 'a shared access signature that expired', get('disk.qcow2'), {
    query: sas(container, past),
  });
  const future = { startsOn: new Date(Date.now() + HOUR_MS), expiresOn: new Date(Date.now() + 2 * HOUR_MS) };
  await record('sas-not-yet', 'a shared access signature that starts in an hour', get('disk.qcow2'), {
    query: sas(container, future),
  });
  await record('sas-permissions', 'a shared access signature without the right to read', get('disk.qcow2'), {
    query: sas(container, { permissions: 'l' }),
  });
  await record('range', 'a range after the end', get('disk.qcow2', 100));
  await record('replaced', 'If-Match of another version', get('disk.qcow2', 0, { conditions: { ifMatch: '"0"' } }));
  await service.getContainerClient(container).getBlobClient('disk.qcow2').setAccessTier('Archive');
  await record('archived', 'a blob in the archive tier', get('disk.qcow2'));
  return recordings;
}
