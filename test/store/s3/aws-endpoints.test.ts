// Which of AWS's own hosts is asked, and where a role is: as a proxy and a token service see it.
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import type { S3Options } from '../../../src/s3-options.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { startPeer } from '../../helpers/peer.ts';
import { startProxy } from '../../helpers/proxy.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';
import { QUICK } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

/** The outcome of one request, as it is told. */
async function ask(options: S3Options, env: Record<string, string>): Promise<string> {
  const store = await openS3Store(options, { concurrency: 1, env, policy: QUICK });
  try {
    await store.head('object', { signal: new AbortController().signal });
    return 'ok';
  } catch (error) {
    if (!(error instanceof DatamoverError)) throw error;
    return `${error.code} ${error.message}`;
  } finally {
    await store.close();
  }
}

const KEYS = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-west-2', HOME: '/nowhere' };

test("AWS's own hosts", async (t) => {
  const rows: [name: string, env: Record<string, string>, host: string][] = [
    ['the region', {}, 'bucket.s3.us-west-2.amazonaws.com:443'],
    ['FIPS', { AWS_USE_FIPS_ENDPOINT: 'true' }, 'bucket.s3-fips.us-west-2.amazonaws.com:443'],
    ['dual-stack', { AWS_USE_DUALSTACK_ENDPOINT: 'true' }, 'bucket.s3.dualstack.us-west-2.amazonaws.com:443'],
    ['a mode that is none', { AWS_DEFAULTS_MODE: 'x', AWS_RETRY_MODE: 'x' }, 'bucket.s3.us-west-2.amazonaws.com:443'],
    [
      'endpoints that are ignored',
      { AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' },
      'bucket.s3.us-west-2.amazonaws.com:443',
    ],
    [
      'an endpoint with FIPS',
      { AWS_ENDPOINT_URL: 'https://s3.example', AWS_USE_FIPS_ENDPOINT: 'true' },
      's3.example:443',
    ],
  ];
  for (const [name, env, host] of rows) {
    const proxy = await startProxy(t, { closed: true });
    t.match(await ask({ bucket: 'bucket' }, { ...KEYS, ...env, HTTPS_PROXY: proxy.url }), 'proxy refused', name);
    t.equal(proxy.asked[0], `CONNECT ${host}`, name);
  }
});

interface TokenService {
  readonly url: string;
  readonly asked: { readonly body: URLSearchParams; readonly authorization: string | undefined }[];
}

/** The two calls of STS that give keys; nothing of it is checked, the keys are `keys`. */
async function startTokenService(
  t: Test,
  keys: { readonly accessKey: string; readonly secretKey: string },
): Promise<TokenService> {
  const asked: TokenService['asked'] = [];
  const answer = async (incoming: IncomingMessage): Promise<string> => {
    const body = new URLSearchParams(await text(incoming));
    asked.push({ body, authorization: incoming.headers.authorization });
    const action = body.get('Action') ?? '';
    return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result><Credentials><AccessKeyId>${keys.accessKey}</AccessKeyId><SecretAccessKey>${keys.secretKey}</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></${action}Result></${action}Response>`;
  };
  const server = createServer((incoming, outgoing) => {
    void answer(incoming).then((xml) => outgoing.writeHead(200, { 'content-type': 'text/xml' }).end(xml));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test('a role is asked for where the environment says, with what the file says', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', 'bytes');
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const sts = await startTokenService(t, rgw);
  const folder = tempFolder(t);
  const token = join(folder, 'token');
  writeFileSync(token, 'web-token');
  const file = join(folder, 'cloud');
  writeFileSync(
    file,
    `[default]\nrole_arn: "arn:aws:iam::1:role/web"\nweb_identity_token_file = ${token}\n[chained]\nROLE_ARN = arn:aws:iam::1:role/chained\nsource_profile = base\nexternal_id = ext # c\n[base]\naws_access_key_id = 'base'\naws_secret_access_key = "s"\n`,
  );
  const base = { bucket, endpoint: peer.endpoint, region: 'eu' };
  const always = { HOME: '/nowhere', AWS_ENDPOINT_URL_STS: sts.url, AWS_USE_FIPS_ENDPOINT: 'true' };
  const rows: [
    name: string,
    env: Record<string, string>,
    options: Partial<S3Options>,
    action: string,
    arn: string,
    session: string,
  ][] = [
    [
      'web identity of a file',
      { AWS_ROLE_SESSION_NAME: 'no' },
      { credentialsFile: file },
      'AssumeRoleWithWebIdentity',
      'web',
      'kubevirt-datamover',
    ],
    [
      'a role of a role',
      {},
      { credentialsFile: file, profile: 'chained' },
      'AssumeRole',
      'chained',
      'kubevirt-datamover',
    ],
    [
      'web identity of the environment',
      { AWS_ROLE_ARN: 'arn:aws:iam::1:role/env', AWS_WEB_IDENTITY_TOKEN_FILE: token, AWS_ROLE_SESSION_NAME: 'mine' },
      {},
      'AssumeRoleWithWebIdentity',
      'env',
      'mine',
    ],
  ];
  for (const [name, env, options, action, arn, session] of rows) {
    sts.asked.length = 0;
    t.equal(await ask({ ...base, ...options }, { ...always, ...env }), 'ok', name);
    t.equal(sts.asked.length, 1, name);
    const { body, authorization } = sts.asked[0] ?? { body: new URLSearchParams(), authorization: undefined };
    t.equal(body.get('Action'), action, name);
    t.equal(body.get('RoleArn'), `arn:aws:iam::1:role/${arn}`, name);
    t.equal(body.get('RoleSessionName'), session, name);
    if (action === 'AssumeRole') {
      t.equal(body.get('ExternalId'), 'ext');
      t.match(authorization, 'Credential=base/');
    } else {
      t.equal(body.get('WebIdentityToken'), 'web-token');
    }
  }
  t.match(peer.requests.at(-1)?.headers, { 'x-amz-security-token': 't' });
});

test('an agent of a container, a program and a login of the user', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', 'bytes');
  const folder = tempFolder(t);
  const agent = createServer((incoming, outgoing) => {
    const good = incoming.headers.authorization === 'agent-token';
    outgoing.writeHead(good ? 200 : 403, { 'content-type': 'application/json' });
    outgoing.end(
      JSON.stringify({
        AccessKeyId: rgw.accessKey,
        SecretAccessKey: rgw.secretKey,
        Token: 't',
        Expiration: '2099-01-01T00:00:00Z',
      }),
    );
  });
  await new Promise<void>((resolve) => agent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => agent.close());
  const token = join(folder, 'token');
  writeFileSync(token, 'agent-token');
  const program = JSON.stringify({ Version: 1, AccessKeyId: rgw.accessKey, SecretAccessKey: rgw.secretKey });
  const output = join(folder, 'keys.json');
  writeFileSync(output, program);
  const config = join(folder, 'config');
  writeFileSync(
    config,
    `[profile run]\ncredential_process = cat ${output}\n[profile fail]\ncredential_process = sh -c "echo geheim >&2; exit 1"\n[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = eu-1\nsso_start_url = https://x\n`,
  );
  const { port } = agent.address() as AddressInfo;
  const rows: [name: string, env: Record<string, string>, outcome: RegExp][] = [
    [
      'agent',
      {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token,
      },
      /^ok$/,
    ],
    [
      'agent that refuses',
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/` },
      /^ACCESS_DENIED no credentials found: the container credentials service/,
    ],
    ['program', { AWS_PROFILE: 'run' }, /^ok$/],
    [
      'program that fails',
      { AWS_PROFILE: 'fail' },
      /^ACCESS_DENIED no credentials found: credential_process of \[fail\] of .* failed/,
    ],
    ['login that is none', { AWS_PROFILE: 'sso' }, /^ACCESS_DENIED no credentials found: \[sso\] of .*aws sso login/],
  ];
  for (const [name, env, outcome] of rows) {
    const told = await ask({ bucket, endpoint: rgw.endpoint }, { HOME: folder, AWS_CONFIG_FILE: config, ...env });
    t.match(told, outcome, name);
    t.notMatch(told, 'geheim', name);
  }
});
