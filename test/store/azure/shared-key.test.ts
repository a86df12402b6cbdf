// Every signature is the one that Microsoft's own client makes of the same request.
import { ContainerClient, newPipeline, StorageSharedKeyCredential } from '@azure/storage-blob';
import fc from 'fast-check';
import { test } from 'tap';
import { signGet } from '../../../src/store/azure/shared-key.ts';

const KEY = Buffer.from('0123456789abcdef').toString('base64');

interface Sent {
  readonly url: string;
  readonly headers: Record<string, string>;
}

/** What the client would send. */
async function sentBy(ask: (container: ContainerClient) => Promise<unknown>, endpoint: string): Promise<Sent> {
  let sent: Sent | undefined;
  const credential = new StorageSharedKeyCredential('account', KEY);
  const httpClient = {
    sendRequest: (request: { url: string; headers: { rawHeaders(): Record<string, string> } }) => {
      sent = { url: request.url, headers: lowerCase(request.headers.rawHeaders()) };
      return Promise.reject(new Error('it is not sent'));
    },
  };
  const options = { httpClient, retryOptions: { maxTries: 1 } } as unknown as Parameters<typeof newPipeline>[1];
  await ask(new ContainerClient(`${endpoint}/backups`, newPipeline(credential, options))).catch(() => {});
  if (sent === undefined) throw new Error('nothing was sent');
  return sent;
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function signedByUs({ url, headers }: Sent): string {
  const { origin } = new URL(url);
  const known = ['range', 'if-match', 'x-ms-date', 'x-ms-version', 'x-ms-client-request-id', 'x-ms-range'];
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => known.includes(name)));
  return signGet(
    { target: url.slice(origin.length), headers: kept },
    { account: 'account', key: Buffer.from(KEY, 'base64') },
  );
}

/** In ASCII: TAP ends a line at U+2028 and U+2029 too, and what follows is lost. */
const named = (...texts: string[]) => texts.map(encodeURIComponent).join(' ');

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .filter((text) => !/^[./\\]|[./\\]$|[/\\.]{2}|[\p{Cc}\\]/u.test(text) && text.isWellFormed() && text.trim() !== '');

for (const endpoint of ['https://account.blob.core.windows.net', 'http://127.0.0.1:10000/account']) {
  test(`at ${endpoint}`, async (t) => {
    await fc.assert(
      fc.asyncProperty(name, fc.nat(), fc.string({ minLength: 1, maxLength: 20 }), async (blob, offset, marker) => {
        const read = await sentBy(
          (container) => container.getBlobClient(blob).download(offset, 10, { conditions: { ifMatch: '"0x8D"' } }),
          endpoint,
        );
        t.equal(signedByUs(read), read.headers.authorization, named(blob));
        const pages = (container: ContainerClient) =>
          container
            .listBlobsByHierarchy('/', { prefix: blob })
            .byPage({ continuationToken: marker, maxPageSize: 7 })
            .next();
        const list = await sentBy(pages, endpoint);
        t.equal(signedByUs(list), list.headers.authorization, named(blob, marker));
      }),
      { numRuns: 60 },
    );
  });
}
