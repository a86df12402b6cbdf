// The ambient environment changes no request: everything that the installed SDK knows is set, in variables and in the user's own
// files, and what the real program sends is compared with what it sends without. docs/environment.md has a row for each.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { listed, readAll } from '../../contract/store.ts';
import { startPeer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { sharedCli } from '../../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';
import { type CliResult, cleanEnvironment, runCli } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Names of variables in the SDK's code that are values of S3's API. */
const NO_VARIABLES = /^AWS_BACKUP_/;

/** What the tools know and the installed SDK does not. */
const OTHERS = [
  'AWS_CA_BUNDLE',
  'AWS_DEFAULT_PROFILE',
  'AWS_ENDPOINT_URL_S3',
  'AWS_ENDPOINT_URL_STS',
  'AWS_METADATA_SERVICE_NUM_ATTEMPTS',
  'AWS_METADATA_SERVICE_TIMEOUT',
  'AWS_NEW_RETRIES_2026',
  'AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES',
  'AWS_DISABLE_REQUEST_COMPRESSION',
  'AWS_S3_US_EAST_1_REGIONAL_ENDPOINT',
  'AWS_SECURITY_TOKEN',
  'AWS_STS_REGIONAL_ENDPOINTS',
];

/** Of what the SDK would read: every name in its code. */
function knownTo(pattern: RegExp): string[] {
  const found = new Set<string>();
  for (const scope of ['@aws-sdk', '@smithy']) {
    for (const library of readdirSync(join(ROOT, 'node_modules', scope))) {
      const folder = join(ROOT, 'node_modules', scope, library, 'dist-es');
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!name.endsWith('.js')) continue;
        for (const [, first, second] of readFileSync(join(folder, name), 'utf8').matchAll(pattern)) {
          const known = first ?? second;
          if (known !== undefined) found.add(known);
        }
      }
    }
  }
  return [...found].sort();
}

const VARIABLES = [
  ...knownTo(/(?:env\??\.|["'`])((?:AWS_|_X_AMZN_)[A-Z0-9_]+)/g)
    .filter((name) => !NO_VARIABLES.test(name))
    .map((name) => (name === 'AWS_BEARER_TOKEN_' ? 'AWS_BEARER_TOKEN_S3' : name)),
  ...OTHERS,
];

/** Keys of ~/.aws/config: every word of that form in files that read profiles, which is some more. */
const CONFIG_KEYS = knownTo(/(?:_NAME|_CONFIG|CONFIG_[A-Z0-9_]+)\s*=\s*"([a-z0-9_]+)"|profile(?:Data)?\.([a-z0-9_]+)/g);

function hostileValue(name: string): string {
  if (/ENDPOINT_URL|SERVICE_ENDPOINT$|FULL_URI/i.test(name)) return 'http://127.0.0.1:9';
  if (/FILE|BUNDLE|DIRECTORY/i.test(name)) return '/nowhere/hostile';
  if (/FIPS|DUALSTACK|DISABLE|IGNORE|ARN_REGION|ENABLE/i.test(name)) return 'true';
  if (/ATTEMPTS|TIMEOUT|SIZE/i.test(name)) return '7';
  return 'hostile';
}

interface Stage {
  readonly endpoint: string;
  readonly bucket: string;
  readonly keys: NodeJS.ProcessEnv;
  readonly credentialsFile: string;
  readonly hostile: NodeJS.ProcessEnv;
  /** What has been sent since the last time, without what changes from one time to the next. */
  sent(): string[];
}

async function setStage(t: Test): Promise<Stage> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, join(ROOT, 'fixtures/bucket'), 'p/');
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const folder = tempFolder(t);
  const credentialsFile = join(folder, 'cloud');
  writeFileSync(
    credentialsFile,
    `[default]\naws_access_key_id = ${rgw.accessKey}\naws_secret_access_key = ${rgw.secretKey}\n`,
  );
  mkdirSync(join(folder, '.aws'));
  const lines = CONFIG_KEYS.map((key) => `${key} = ${hostileValue(key)}\n`).join('');
  const sections = ['default', 'profile hostile', 'services hostile', 'sso-session hostile'];
  writeFileSync(join(folder, '.aws/config'), sections.map((name) => `[${name}]\n${lines}`).join(''));
  writeFileSync(join(folder, '.aws/credentials'), `[default]\n${lines}[hostile]\n${lines}`);
  const hostile: NodeJS.ProcessEnv = Object.fromEntries(VARIABLES.map((name) => [name, hostileValue(name)]));
  // Where they are, the files above are not read.
  hostile.AWS_CONFIG_FILE = join(folder, '.aws/config');
  hostile.AWS_SHARED_CREDENTIALS_FILE = join(folder, '.aws/credentials');
  let seen = 0;
  return {
    endpoint: peer.endpoint,
    bucket,
    keys: rgw.env,
    credentialsFile,
    hostile: { ...hostile, HOME: folder, ALL_PROXY: 'http://127.0.0.1:9', all_proxy: 'http://127.0.0.1:9' },
    sent: () => {
      const requests = peer.requests.slice(seen);
      seen = peer.requests.length;
      return requests.map(({ method, path, query, headers }) => {
        const { 'x-amz-date': _, 'amz-sdk-invocation-id': __, authorization = '', ...rest } = headers;
        const signed = authorization.replace(/\/\d{8}\//, '/DATE/').replace(/Signature=.*/, '');
        return JSON.stringify({ method, path, query: [...query], rest, signed });
      });
    },
  };
}

const list = (stage: Stage, env: NodeJS.ProcessEnv, ...flags: string[]): Promise<CliResult> => {
  const source = ['--source', `s3://${stage.bucket}/p`, '--endpoint', stage.endpoint];
  return sharedCli(['list', ...source, ...flags], { env });
};

test('what the SDK knows is found', async (t) => {
  for (const name of [
    'AWS_PROFILE',
    'AWS_DEFAULTS_MODE',
    'AWS_EXECUTION_ENV',
    'AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026',
  ]) {
    t.ok(VARIABLES.includes(name), name);
  }
  for (const key of ['defaults_mode', 'use_fips_endpoint', 'endpoint_url', 'sdk_ua_app_id'])
    t.ok(CONFIG_KEYS.includes(key), key);
});

test('no variable and no file of the user changes a request', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const stage = await setStage(t);
  const file = ['--credentials-file', stage.credentialsFile, '--region', 'us-east-1'];
  const clean = await list(stage, { HOME: '/nowhere' }, ...file);
  t.equal(clean.exitCode, 0, clean.stderr);
  const expected = stage.sent();
  t.ok(expected.length > 3);
  const cases: [name: string, env: NodeJS.ProcessEnv, flags: string[]][] = [
    ['keys of a file, all set', { ...stage.hostile }, file],
    ['keys of the environment', { ...stage.keys, HOME: '/nowhere' }, ['--region', 'us-east-1']],
    [
      'keys of the environment, all else set',
      { ...stage.hostile, ...stage.keys, AWS_SESSION_TOKEN: '', AWS_SECURITY_TOKEN: '' },
      ['--region', 'us-east-1'],
    ],
    [
      'region and endpoint of the environment too',
      {
        ...stage.hostile,
        ...stage.keys,
        AWS_SESSION_TOKEN: '',
        AWS_SECURITY_TOKEN: '',
        AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: '',
        AWS_REGION: 'us-east-1',
      },
      [],
    ],
  ];
  for (const [name, env, flags] of cases) {
    const run = await list(stage, env, ...flags);
    t.equal(run.exitCode, 0, `${name}: ${run.stderr}`);
    t.equal(run.stdout, clean.stdout, `${name}: the same result`);
    t.strictSame(stage.sent().sort(), [...expected].sort(), `${name}: the same requests`);
    t.notMatch(run.stderr, /[Ww]arning|hostile/, `${name}: not a word of it`);
  }
});

test('each variable alone changes no request', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const stage = await setStage(t);
  const { signal } = new AbortController();
  const before = { ...process.env };
  t.teardown(() => restoreEnvironment(before));
  const ask = async (): Promise<string[]> => {
    const options = {
      bucket: stage.bucket,
      endpoint: stage.endpoint,
      credentialsFile: stage.credentialsFile,
      region: 'r',
    };
    const store = await openS3Store(options, { concurrency: 1, env: process.env });
    const key = 'p/manifests/backup-001/index.json';
    const { size, etag } = await store.head(key, { signal });
    await store.get(key, { maxBytes: 100_000, signal });
    await readAll(store, key, { offset: 1, length: 9, etag, size, signal });
    await listed(store, 'p/');
    await store.close();
    return stage.sent();
  };
  restoreEnvironment(cleanEnvironment({ HOME: '/nowhere' }));
  const expected = await ask();
  t.equal(expected.length, 4);
  for (const name of VARIABLES) {
    restoreEnvironment(cleanEnvironment({ HOME: '/nowhere', [name]: hostileValue(name) }));
    t.strictSame(await ask(), expected, name);
  }
});

/** The SDK reads the process's own. */
function restoreEnvironment(to: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(process.env)) if (to[name] === undefined) delete process.env[name];
  Object.assign(process.env, to);
}

test('a user without a home directory', async (t) => {
  if (!requires(t, 'root', ...RGW_TOOLS)) return;
  const stage = await setStage(t);
  const uid = 54_321;
  const run = await runCli(['list', '--source', `s3://${stage.bucket}/p`, '--endpoint', stage.endpoint], {
    env: { ...stage.keys, HOME: undefined },
    uid,
  });
  t.equal(run.exitCode, 0, run.stderr);
  const none = await runCli(['list', '--source', `s3://${stage.bucket}/p`, '--endpoint', stage.endpoint], {
    env: { HOME: undefined, AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:9' },
    uid,
  });
  t.equal(none.exitCode, 3);
  t.match(none.stderr, /ACCESS_DENIED: no credentials found: the metadata service of the machine/);
});

test('every variable has its row in the documentation', async (t) => {
  const text = readFileSync(join(ROOT, 'docs/environment.md'), 'utf8');
  const named = new Set(text.match(/\b_?[A-Z][A-Z0-9_]{3,}\b/g));
  for (const name of VARIABLES) t.ok(named.has(name), name);
});
