// Tokens of service accounts, identities of other clouds, logins and machines: requested, renewed and refused, with no secret in a message.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { DatamoverError } from '../../../src/errors.ts';
import { openGcsStore } from '../../../src/store/gcs/gcs.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { rejectsWith } from '../../contract/store.ts';
import { EMAIL, externalAccount, type Gcs, SUBJECT_TOKEN, startGcs } from '../../helpers/gcs.ts';
import { startPeer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';
import { impatient, QUICK } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;

type Retries = Partial<ReturnType<typeof impatient>>;

interface Stage {
  readonly gcs: Gcs;
  readonly bucket: string;
  open(credentialsFile: string | undefined, env?: Record<string, string>, retries?: Retries): Promise<ObjectStore>;
}

async function stageOf(t: Test): Promise<Stage> {
  const gcs = await startGcs(t);
  const bucket = await gcs.createBucket();
  await gcs.rgw.put(bucket, 'object', 'content');
  const home = tempFolder(t);
  const open: Stage['open'] = async (file, env = {}, retries = impatient()) => {
    const store = await openGcsStore(
      { bucket, endpoint: gcs.origin, ...(file === undefined ? {} : { credentialsFile: file }) },
      { concurrency: 2, env: { HOME: home, GCE_METADATA_HOST: '127.0.0.1:1', ...env }, ...retries },
    );
    t.teardown(() => store.close());
    return store;
  };
  return { gcs, bucket, open };
}

async function reads(t: Test, store: ObjectStore, name: string): Promise<void> {
  t.equal(Buffer.from(await store.get('object', { maxBytes: 100, signal })).toString(), 'content', name);
}

function holdsNoSecret(t: Test, gcs: Gcs, error: DatamoverError): void {
  const said = [error.message, error.hint, String(error.cause), JSON.stringify(error.problems)].join('\n');
  const secrets = [
    ...gcs.tokens,
    SUBJECT_TOKEN,
    'refresh-EXAMPLE',
    'client-secret-EXAMPLE',
    'PRIVATE KEY',
    'assertion',
    'eyJ',
  ];
  for (const secret of secrets) t.notOk(said.includes(secret), `no ${secret} in ${said}`);
}

const USER = {
  type: 'authorized_user',
  client_id: 'client-1',
  client_secret: 'client-secret-EXAMPLE',
  refresh_token: 'refresh-EXAMPLE',
};

test('a service account; from the plan, the environment and the configuration of gcloud', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  const file = gcs.credentials();
  const folder = tempFolder(t);
  const login = join(folder, 'application_default_credentials.json');
  const store = await open(file);
  await reads(t, store, 'file of the plan');
  await reads(t, store, 'again');
  t.equal(gcs.tokenRequests.length, 1, 'one token for all requests');
  await reads(t, await open(undefined, { GOOGLE_APPLICATION_CREDENTIALS: `${file}\n` }), 'variable');
  writeFileSync(login, JSON.stringify({ ...USER, type: 'unknown' }));
  const error = await rejectsWith(t, 'ACCESS_DENIED', async () =>
    (await open(undefined, { CLOUDSDK_CONFIG: folder })).head('object', { signal }),
  );
  t.match(error.message, /application_default_credentials.json: unsupported type of credentials: "unknown"/);
  holdsNoSecret(t, gcs, error);
});

test('an identity of another cluster, with its token in a file, in JSON and at a URL; with a service account to impersonate', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  await reads(t, await open(externalAccount(gcs, t)), 'file');
  const json = join(tempFolder(t), 'token.json');
  writeFileSync(json, JSON.stringify({ value: SUBJECT_TOKEN }));
  const format = { type: 'json', subject_token_field_name: 'value' };
  await reads(t, await open(externalAccount(gcs, t, { credential_source: { file: json, format } })), 'file in JSON');
  const url = { url: `${gcs.origin}/subject`, headers: { 'x-tells': 'who' }, format };
  await reads(t, await open(externalAccount(gcs, t, { credential_source: url })), 'URL');
  const impersonation = {
    service_account_impersonation_url: `${gcs.origin}/impersonate/${EMAIL}:generateAccessToken`,
    client_id: 'client-1',
    client_secret: 'client-secret-EXAMPLE',
  };
  await reads(t, await open(externalAccount(gcs, t, impersonation)), 'impersonation');
  t.match(gcs.tokenRequests.at(-2), {
    path: '/sts',
    authorization: /^Basic /,
    scope: 'https://www.googleapis.com/auth/cloud-platform',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  });
  writeFileSync(json, JSON.stringify({ value: 'another-token' }));
  const refused = await open(externalAccount(gcs, t, { credential_source: { file: json, format } }));
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => refused.head('object', { signal }));
  t.match(error, { message: /the token of the other identity is not accepted/, hint: /audience/ });
  const lost = await open(externalAccount(gcs, t, { credential_source: { file: `${json}.missing` } }));
  const missing = await rejectsWith(t, 'ACCESS_DENIED', () => lost.head('object', { signal }));
  t.match(missing, { message: /token file not found/, hint: /credential_source.file/ });
  for (const each of [error, missing]) holdsNoSecret(t, gcs, each);
});

test('a login of gcloud is used where the user has it, not in a file of the plan', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  const file = join(tempFolder(t), 'user.json');
  writeFileSync(file, JSON.stringify(USER));
  const error = await rejectsWith(t, 'PLAN_INVALID', () => open(file));
  t.match(error, { message: /a login of gcloud \(authorized_user\)/, hint: /GOOGLE_APPLICATION_CREDENTIALS/ });
  holdsNoSecret(t, gcs, error);
});

test('the identity of the machine', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  const env = { GCE_METADATA_HOST: new URL(gcs.origin).host, HTTP_PROXY: 'http://127.0.0.1:1', NO_PROXY: '127.0.0.1' };
  await reads(t, await open(undefined, env), 'metadata service');
  const none = await open(undefined);
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => none.head('object', { signal }));
  t.match(error, { message: /no credentials found/, hint: /credentialsFile.*GOOGLE_APPLICATION_CREDENTIALS/ });
  const typo = await open(undefined, { GCE_METADATA_HOST: 'a host' });
  t.match((await rejectsWith(t, 'ACCESS_DENIED', () => typo.head('object', { signal }))).message, /GCE_METADATA_HOST/);
  gcs.refusal = { status: 404, error: 'not_found' };
  const bare = await open(undefined, env);
  const account = await rejectsWith(t, 'ACCESS_DENIED', () => bare.head('object', { signal }));
  t.match(account.message, /this machine has no service account \(404 not_found\)/);
});

test('a token that expires is renewed before, one that was revoked after the refusal, once', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  gcs.lifetime = 0.001;
  const store = await open(gcs.credentials());
  for (const count of [1, 2, 3]) {
    await reads(t, store, 'with a token that is about to expire');
    t.equal(gcs.tokenRequests.length, count, 'another token');
  }
  gcs.lifetime = 3599;
  const other = await open(gcs.credentials(), {}, { policy: QUICK });
  for (const name of ['first', 'revoked', 'revoked again']) {
    gcs.tokens.clear();
    gcs.tokenRequests.length = 0;
    await Promise.all([reads(t, other, name), reads(t, other, name), reads(t, other, name)]);
    t.equal(gcs.tokenRequests.length, 1, 'one new token');
  }
  gcs.accepts = false;
  gcs.tokens.clear();
  gcs.tokenRequests.length = 0;
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => other.head('object', { signal }));
  t.match(error, {
    message: /the token of .* is not accepted \(401 AuthenticationRequired\)/,
    hint: /credentialsFile/,
  });
  t.equal(gcs.tokenRequests.length, 1, 'asked once');
  holdsNoSecret(t, gcs, error);
});

test('a key that is replaced in the file during a run', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, bucket } = await stageOf(t);
  const file = gcs.credentials({ client_email: 'other@project-1.iam.gserviceaccount.com' });
  const store = await openGcsStore(
    { bucket, endpoint: gcs.origin, credentialsFile: file },
    { concurrency: 1, env: {}, ...impatient() },
  );
  t.teardown(() => store.close());
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('object', { signal }));
  t.match(error.message, /the service account does not exist or is disabled \(400 invalid_grant\)/);
  writeFileSync(file, readFileSync(gcs.credentials()));
  await reads(t, store, 'with the new file');
});

test('claims are signed for the time of the server', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  gcs.clockMs = -3 * 3_600_000;
  await reads(t, await open(gcs.credentials()), 'three hours ahead');
  t.equal(gcs.tokenRequests.length, 2, 'repeated once');
  gcs.refusal = { status: 400, error: 'invalid_grant', description: 'Invalid JWT: Check your iat and exp values' };
  gcs.clockMs = 0;
  const store = await open(gcs.credentials());
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('object', { signal }));
  t.match(error, { message: /clock is too far off/, hint: /NTP/ });
});

test('what is refused', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const foreign = gcs.credentials({ private_key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() });
  const key = await rejectsWith(t, 'ACCESS_DENIED', async () => (await open(foreign)).head('object', { signal }));
  t.match(key, { message: /the key of the service account is not accepted/, hint: /keys create/ });
  holdsNoSecret(t, gcs, key);
  const cases: [number, string, string | undefined, RegExp][] = [
    [400, 'invalid_grant', 'Token has been expired or revoked.', /the login has expired/],
    [401, 'invalid_client', undefined, /not authorized to request tokens/],
    [400, 'invalid_target', undefined, /pool or provider does not exist/],
    [400, 'something_new', undefined, /no token was given \(400 something_new\)/],
  ];
  for (const [status, error, description, message] of cases) {
    gcs.refusal = { status, error, ...(description === undefined ? {} : { description }) };
    const store = await open(gcs.credentials());
    const failure = await rejectsWith(t, 'ACCESS_DENIED', () => store.head('object', { signal }), error);
    t.match(failure.message, message);
    holdsNoSecret(t, gcs, failure);
  }
  gcs.refusal = { status: 503, error: 'unavailable' };
  const busy = await open(gcs.credentials());
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => busy.head('object', { signal }));
  t.match(error.message, /the token service answered 503 unavailable \(tried \d times/);
  gcs.refusal = undefined;
  const nowhere = await open(gcs.credentials({ token_uri: 'http://127.0.0.1:1/token' }));
  const closed = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => nowhere.head('object', { signal }));
  t.match(closed, { message: /requesting a token: connection refused/, hint: /token_uri/ });
  for (const each of [error, closed]) holdsNoSecret(t, gcs, each);
});

test('an abort does not wait for a token, and closing ends the request for it', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { gcs, open } = await stageOf(t);
  const peer = await startPeer({ upstream: gcs.origin, plan: () => ({ kind: 'stall' }) }, t);
  const store = await open(gcs.credentials({ token_uri: `${peer.endpoint}/token` }));
  const stop = new AbortController();
  const reason = new Error('enough');
  const reading = store.head('object', { signal: stop.signal });
  while (peer.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort(reason);
  await t.rejects(reading, reason);
  await store.close();
  await peer.allClosed();
});
