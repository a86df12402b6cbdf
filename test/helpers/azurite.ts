// The real blob server of the tests: Azurite, Microsoft's emulator, which checks signatures, tokens and conditions.
import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Certificates } from './certificates.ts';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `startAzurite`. */
export const AZURITE_TOOLS = ['setpriv'] as const;

const ACCOUNT = 'testaccount';
const KEY = Buffer.from('the key of an account of tests, of no worth to anyone else').toString('base64');

interface SasOptions {
  readonly permissions?: string;
  readonly startsOn?: Date;
  readonly expiresOn?: Date;
}

export interface Azurite {
  /** `http://127.0.0.1:port`. */
  readonly origin: string;
  /** The account's blob endpoint. */
  readonly endpoint: string;
  readonly account: string;
  /** Base64. */
  readonly key: string;
  /** Microsoft's own client, with the account's key. */
  readonly service: BlobServiceClient;
  /** The environment that gives a child process the account's key. */
  readonly env: { readonly AZURE_STORAGE_KEY: string };
  /** Makes a container of a new name. */
  createContainer(): Promise<string>;
  put(container: string, name: string, body: string | Uint8Array): Promise<void>;
  remove(container: string, name: string): Promise<void>;
  /** Stores every file under `folder` as `<prefix><path in the folder>`. */
  putFolder(container: string, folder: string, prefix?: string): Promise<void>;
  /** A shared access signature for a container; may read and list for an hour unless said otherwise. */
  sas(container: string, options?: SasOptions): string;
}

export interface AzuriteOptions {
  /** Serve https, and take tokens. */
  readonly tls?: Certificates & { readonly keyFile: string; readonly certFile: string };
}

let shared: Promise<string> | undefined;

/** The server, which ends with this process, however that ends; all tests of a process that speak http share one. */
export async function startAzurite(t: Owner, { tls }: AzuriteOptions = {}): Promise<Azurite> {
  if (tls === undefined) shared ??= launch([], undefined);
  const origin = await (tls === undefined
    ? shared
    : launch(['--oauth', 'basic', '--cert', tls.certFile, '--key', tls.keyFile], t));
  if (origin === undefined) throw new TypeError('no server');
  const endpoint = `${origin}/${ACCOUNT}`;
  const credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
  // The client has no setting for it.
  if (tls !== undefined) setDefaultCACertificates([...getCACertificates('default'), tls.ca]);
  const service = new BlobServiceClient(endpoint, credential);
  const put: Azurite['put'] = async (container, name, body) => {
    const bytes = Buffer.from(body);
    await service.getContainerClient(container).getBlockBlobClient(name).upload(bytes, bytes.length);
  };
  return {
    origin,
    endpoint,
    account: ACCOUNT,
    key: KEY,
    service,
    env: { AZURE_STORAGE_KEY: KEY },
    createContainer: async () => {
      const name = `test-${crypto.randomUUID()}`;
      await service.createContainer(name);
      t.teardown(() => service.deleteContainer(name));
      return name;
    },
    put,
    remove: async (container, name) => {
      await service.getContainerClient(container).deleteBlob(name);
    },
    putFolder: async (container, folder, prefix = '') => {
      for (const name of await readdir(folder, { recursive: true })) {
        const path = join(folder, name);
        if (!(await stat(path)).isFile()) continue;
        const blob = service.getContainerClient(container).getBlockBlobClient(`${prefix}${name}`);
        await blob.uploadStream(createReadStream(path));
      }
    },
    sas: (container, { permissions = 'rl', startsOn, expiresOn = new Date(Date.now() + 3_600_000) } = {}) =>
      generateBlobSASQueryParameters(
        {
          containerName: container,
          permissions: ContainerSASPermissions.parse(permissions),
          expiresOn,
          ...(startsOn === undefined ? {} : { startsOn }),
        },
        credential,
      ).toString(),
  };
}

async function launch(args: readonly string[], owner: Owner | undefined): Promise<string> {
  const program = fileURLToPath(new URL('../../node_modules/azurite/dist/src/blob/main.js', import.meta.url));
  const folder = tempFolder(owner ?? { teardown: (work) => process.once('exit', () => void work?.()) });
  const own = ['--blobHost', '127.0.0.1', '--blobPort', '0', '--inMemoryPersistence'];
  const quiet = ['--silent', '--disableTelemetry', '--skipApiVersionCheck', '--disableProductStyleUrl'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', process.execPath, program, ...own, ...quiet, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: folder,
    env: { PATH: process.env.PATH, AZURITE_ACCOUNTS: `${ACCOUNT}:${KEY}` },
  });
  owner?.teardown(() => child.kill('SIGKILL'));
  const said = text(child.stderr);
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listens on (https?:\/\/\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    letGo(child);
    return url;
  }
  throw new Error(`Azurite did not start: ${await said}`);
}

/** The server must not keep this process alive, nor stop for a full pipe. */
function letGo(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.resume();
    if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') stream.unref();
  }
}
