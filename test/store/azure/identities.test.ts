// Identities of Microsoft Entra: tokens by secret, certificate and federated token, renewed and refused; read by Azurite.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { AzureOptions } from '../../../src/azure-options.ts';
import { openAzureStore } from '../../../src/store/azure/azure.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { rejectsWith } from '../../contract/store.ts';
import { AZURITE_TOOLS, type Azurite, startAzurite } from '../../helpers/azurite.ts';
import { CLIENT, type Entra, startEntra, TENANT } from '../../helpers/entra.ts';
import { type PeerPlan, startPeer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { impatient } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;
const SECRET = 'client-secret-EXAMPLE~1';

interface Stage {
  readonly entra: Entra;
  readonly azurite: Azurite;
  readonly container: string;
  open(
    variables: Record<string, string>,
    options?: Partial<AzureOptions> & { readonly inFile?: boolean; readonly env?: Record<string, string> },
  ): Promise<ObjectStore>;
}

async function stageOf(t: Test): Promise<Stage> {
  const entra = await startEntra(t);
  const azurite = await startAzurite(t, { tls: entra.certificates });
  const container = await azurite.createContainer();
  await azurite.put(container, 'blob', 'content');
  const open: Stage['open'] = async (variables, { inFile = false, env = {}, ...options } = {}) => {
    const file = join(tempFolder(t), 'cloud');
    if (inFile)
      writeFileSync(
        file,
        Object.entries(variables)
          .map(([name, value]) => `${name}='${value}'\n`)
          .join(''),
      );
    const store = await openAzureStore(
      {
        account: azurite.account,
        container,
        endpoint: azurite.endpoint,
        caFile: entra.certificates.caFile,
        ...(inFile ? { credentialsFile: file } : {}),
        ...options,
      },
      { concurrency: 2, env: { ...entra.env, ...(inFile ? {} : variables), ...env }, ...impatient() },
    );
    t.teardown(() => store.close());
    return store;
  };
  return { entra, azurite, container, open };
}

const IDENTITY = { AZURE_TENANT_ID: TENANT, AZURE_CLIENT_ID: CLIENT };

async function reads(t: Test, store: ObjectStore, name: string): Promise<void> {
  t.equal(Buffer.from(await store.get('blob', { maxBytes: 100, signal })).toString(), 'content', name);
}

test('a secret, a certificate, a federated token; from the environment and from a file', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS, 'openssl')) return;
  const { entra, open } = await stageOf(t);
  const folder = tempFolder(t);
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=app',
      '-keyout',
      join(folder, 'key'),
      '-out',
      join(folder, 'cert'),
    ],
    { stdio: 'ignore' },
  );
  const pem = readFileSync(join(folder, 'key'), 'utf8') + readFileSync(join(folder, 'cert'), 'utf8');
  writeFileSync(join(folder, 'app.pem'), pem);
  writeFileSync(join(folder, 'token'), 'federated.token.EXAMPLE');
  const last = () => entra.requests.at(-1) ?? {};
  for (const inFile of [false, true]) {
    const where = inFile ? 'file' : 'environment';
    await reads(t, await open({ ...IDENTITY, AZURE_CLIENT_SECRET: SECRET }, { inFile }), `secret, ${where}`);
    t.match(last(), {
      grant_type: 'client_credentials',
      client_id: CLIENT,
      client_secret: SECRET,
      scope: /https:\/\/storage\.azure\.com\/\.default/,
    });
    await reads(
      t,
      await open({ ...IDENTITY, AZURE_CLIENT_CERTIFICATE_PATH: join(folder, 'app.pem') }, { inFile }),
      `certificate, ${where}`,
    );
    t.match(last(), { client_assertion: /^eyJ/ });
    await reads(
      t,
      await open({ ...IDENTITY, AZURE_CLIENT_CERTIFICATE: pem }, { inFile }),
      `certificate as text, ${where}`,
    );
    await reads(
      t,
      await open({ ...IDENTITY, AZURE_FEDERATED_TOKEN_FILE: join(folder, 'token') }, { inFile }),
      `federated, ${where}`,
    );
    t.match(last(), { client_assertion: 'federated.token.EXAMPLE' });
  }
  const store = await open(
    { AZURE_STORAGE_ACCOUNT_ACCESS_KEY: '' },
    { inFile: true, env: { ...IDENTITY, AZURE_FEDERATED_TOKEN_FILE: join(folder, 'token') } },
  );
  await reads(t, store, "the pod's own identity, beside a file without one");
});

test('one token serves all requests until it is about to expire', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS, 'openssl')) return;
  const { entra, open } = await stageOf(t);
  const store = await open({ ...IDENTITY, AZURE_CLIENT_SECRET: SECRET });
  await Promise.all(Array.from({ length: 8 }, () => reads(t, store, 'at once')));
  await reads(t, store, 'later');
  t.equal(entra.requests.length, 1);
  entra.lifetime = 120;
  const short = await open({ ...IDENTITY, AZURE_CLIENT_SECRET: SECRET });
  await reads(t, short, 'a short one');
  await reads(t, short, 'and the next');
  t.ok(entra.requests.length >= 2);
});

test('what the authority refuses, and what may pass', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS, 'openssl')) return;
  const { entra, open } = await stageOf(t);
  const cases: [number, RegExp, RegExp][] = [
    [7000215, /the client secret is wrong \(AADSTS7000215\)/, /AZURE_CLIENT_SECRET .*credentialsFile/],
    [7000222, /the client secret has expired/, /az ad app credential reset/],
    [90002, /the tenant does not exist/, /AZURE_TENANT_ID/],
    [700016, /does not exist in this tenant/, /AZURE_CLIENT_ID and AZURE_TENANT_ID/],
    [700213, /federated token is not accepted/, /AZURE_FEDERATED_TOKEN_FILE/],
    [700027, /certificate is not registered/, /AZURE_CLIENT_ID/],
    [53003, /refused the identity \(AADSTS53003\)/, /AZURE_TENANT_ID/],
  ];
  for (const [number, message, hint] of cases) {
    entra.refusal = number;
    const store = await open({ ...IDENTITY, AZURE_CLIENT_SECRET: SECRET });
    const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('blob', { signal }), String(number));
    t.match(error, { message, hint });
    t.notMatch(`${error.message} ${error.hint} ${String(error.cause)}`, SECRET);
  }
  entra.refusal = undefined;
  const untrusted = await open(
    { ...IDENTITY, AZURE_CLIENT_SECRET: SECRET },
    { env: { HTTPS_PROXY: 'http://127.0.0.1:1' } },
  );
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => untrusted.head('blob', { signal }), 'no authority');
  t.match(error.message, /requesting a token/);
  const lacking = await rejectsWith(
    t,
    'ACCESS_DENIED',
    async () => await (await open({ AZURE_CLIENT_SECRET: SECRET })).head('blob', { signal }),
  );
  t.match(lacking.message, /AZURE_TENANT_ID and AZURE_CLIENT_ID missing/);
});

test('an identity that may not read blobs is given the key of the account, as the operator does', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS, 'openssl')) return;
  const { entra, azurite, open } = await stageOf(t);
  const peerOf = async (plan: PeerPlan) => {
    // The peer speaks http to Azurite's https: tokens end here.
    const other = await startAzurite(t);
    const container = await other.createContainer();
    await other.put(container, 'blob', 'content');
    const peer = await startPeer({ upstream: other.origin, plan }, t);
    return { container, endpoint: `${peer.endpoint}/${other.account}` };
  };
  const noRole: PeerPlan = ({ headers }) =>
    /^Bearer/.test(`${headers.authorization}`)
      ? { kind: 'status', status: 403, code: 'AuthorizationPermissionMismatch' }
      : undefined;
  const variables = {
    ...IDENTITY,
    AZURE_CLIENT_SECRET: SECRET,
    AZURE_SUBSCRIPTION_ID: 'sub',
    AZURE_RESOURCE_GROUP: 'a group',
  };
  entra.key = azurite.key;
  await reads(t, await open(variables, { inFile: true, ...(await peerOf(noRole)) }), 'by key');
  t.match(entra.requests.at(-1), {
    path: /^\/subscriptions\/sub\/resourceGroups\/a%20group\/.*testaccount\/listKeys/,
    authorization: /^Bearer /,
  });
  entra.key = undefined;
  const denied = await open(variables, { inFile: true, ...(await peerOf(noRole)) });
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => denied.head('blob', { signal }));
  t.match(error, {
    message: /neither read blobs nor list the keys of the account \(403\)/,
    hint: /Storage Blob Data Reader/,
  });
  const only = await open(variables, { inFile: true, useAAD: true, ...(await peerOf(noRole)) });
  const role = await rejectsWith(t, 'ACCESS_DENIED', () => only.head('blob', { signal }));
  t.match(role, { message: /may not read blobs/, hint: /Storage Blob Data Reader/ });
});

test('no credentials at all', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS, 'openssl')) return;
  const { open } = await stageOf(t);
  const store = await open({});
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('blob', { signal }));
  t.match(error, { message: /no credentials found/, hint: /AZURE_STORAGE_KEY/ });
});
