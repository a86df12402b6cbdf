// Who wins: the plan, variables, profiles. A row for each of docs/environment.md that decides something.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import { readIdentity } from '../../../src/store/aws/identity.ts';
import { readSettings, type SettingsOptions } from '../../../src/store/aws/settings.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const ROLE = 'arn:aws:iam::123456789012:role/r';

/** A home directory with the user's own files. */
function homeWith(t: Test, { config = '', credentials = '' } = {}): string {
  const home = tempFolder(t);
  mkdirSync(join(home, '.aws'));
  writeFileSync(join(home, '.aws/config'), config);
  writeFileSync(join(home, '.aws/credentials'), credentials);
  return home;
}

const pair = (name: string): string => `aws_access_key_id = ${name}\naws_secret_access_key = s\n`;

/** Enough to tell identities apart. */
async function whose(options: SettingsOptions, env: Record<string, string>): Promise<string> {
  try {
    const identity = await readIdentity(options, env);
    if (identity.kind === 'keys') return [identity.accessKeyId, identity.sessionToken].filter(Boolean).join(' ');
    if (identity.kind === 'web-identity') return `token ${identity.tokenFile}`;
    if (identity.kind === 'role') return `role of ${identity.source.kind}`;
    if (identity.kind === 'container') return `container ${identity.relativeUri ?? identity.fullUri}`;
    return identity.kind === 'instance' ? 'instance' : `${identity.kind} ${identity.profile}`;
  } catch (error) {
    if (!(error instanceof DatamoverError)) throw error;
    return `${error.code} ${error.message}`;
  }
}

test('whose keys', async (t) => {
  const home = homeWith(t, {
    credentials: `[default]\n${pair('of-default')}[named]\n${pair('of-named')}`,
    config: `[default]\n${pair('of-config')}[profile only-config]\n${pair('of-only-config')}[profile sso]\nsso_session = x\n[profile run]\ncredential_process = x\n[profile login]\nlogin_session = x\n[profile role]\nrole_arn = ${ROLE}\ncredential_source = Environment\n[profile machine]\nrole_arn = ${ROLE}\ncredential_source = Ec2InstanceMetadata\n[profile nothing]\nregion = r\n[plain]\n${pair('no-profile')}`,
  });
  const keys = { AWS_ACCESS_KEY_ID: 'exported', AWS_SECRET_ACCESS_KEY: 's' };
  const web = { AWS_WEB_IDENTITY_TOKEN_FILE: '/token', AWS_ROLE_ARN: ROLE };
  const container = { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/c' };
  const file = join(home, 'cloud');
  writeFileSync(file, `[default]\n${pair('of-file')}`);
  const rows: [name: string, options: SettingsOptions, env: Record<string, string>, expected: string | RegExp][] = [
    ['a file of the plan', { credentialsFile: file }, { ...keys, ...web, AWS_PROFILE: 'named' }, 'of-file'],
    ['a profile of the plan over exported keys', { profile: 'named' }, { ...keys, ...web }, 'of-named'],
    [
      'a profile of the plan that is missing',
      { profile: 'x' },
      keys,
      /^PLAN_INVALID section \[x\] not found in .*config and .*credentials, which has \[/,
    ],
    ['exported keys', {}, keys, 'exported'],
    ['with a token', {}, { ...keys, AWS_SESSION_TOKEN: 'tok' }, 'exported tok'],
    ['with an old token', {}, { ...keys, AWS_SECURITY_TOKEN: 'tok' }, 'exported tok'],
    [
      'with line breaks',
      {},
      { AWS_ACCESS_KEY_ID: 'exported\n', AWS_SECRET_ACCESS_KEY: 's\r\n', AWS_SESSION_TOKEN: '\n' },
      'exported',
    ],
    [
      'in quotes',
      {},
      { ...keys, AWS_SECRET_ACCESS_KEY: '"s"' },
      'ACCESS_DENIED AWS_SECRET_ACCESS_KEY has a value in quotes',
    ],
    ['exported keys over AWS_PROFILE', {}, { ...keys, AWS_PROFILE: 'named' }, 'exported'],
    ['exported keys over an AWS_PROFILE that is missing', {}, { ...keys, AWS_PROFILE: 'x' }, 'exported'],
    ['exported keys over a web identity', {}, { ...keys, ...web, ...container }, 'exported'],
    [
      'half of the keys',
      {},
      { AWS_ACCESS_KEY_ID: 'exported' },
      'ACCESS_DENIED AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not',
    ],
    ['the other half', {}, { AWS_SECRET_ACCESS_KEY: 's' }, 'of-default'],
    ['empty keys', {}, { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }, 'of-default'],
    ['AWS_PROFILE', {}, { AWS_PROFILE: 'named', ...web }, 'of-named'],
    ['AWS_DEFAULT_PROFILE', {}, { AWS_DEFAULT_PROFILE: 'named' }, 'of-named'],
    ['AWS_PROFILE of the configuration', {}, { AWS_PROFILE: 'only-config' }, 'of-only-config'],
    [
      'AWS_PROFILE that is no profile there',
      {},
      { AWS_PROFILE: 'plain' },
      /^ACCESS_DENIED no credentials found: AWS_PROFILE: section \[plain\] not found/,
    ],
    ['AWS_PROFILE that says nothing of keys', {}, { AWS_PROFILE: 'nothing', ...web }, 'token /token'],
    ['AWS_PROFILE with a login', {}, { AWS_PROFILE: 'sso' }, 'sso sso'],
    ['AWS_PROFILE with a program', {}, { AWS_PROFILE: 'run' }, 'process run'],
    ['AWS_PROFILE with a new login', {}, { AWS_PROFILE: 'login' }, 'login login'],
    ['a role of exported keys', { profile: 'role' }, keys, 'role of keys'],
    [
      'a role of keys that are not exported',
      { profile: 'role' },
      {},
      /^PLAN_INVALID .*config:\d+: credential_source of \[role\]: no credentials found in "Environment"/,
    ],
    ['a role of the machine', { profile: 'machine' }, {}, 'role of instance'],
    ['a web identity over [default]', {}, { ...web, ...container }, 'token /token'],
    ['half of a web identity', {}, { AWS_ROLE_ARN: ROLE }, 'of-default'],
    ['[default], credentials over configuration', {}, container, 'of-default'],
    ['the container', {}, { ...container, HOME: '/nowhere' }, 'container /c'],
    [
      'the container by a URL',
      {},
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1/c', HOME: '/nowhere' },
      'container http://127.0.0.1/c',
    ],
    ['the machine', {}, { HOME: '/nowhere' }, 'instance'],
    [
      'the machine, not to be asked',
      {},
      { HOME: '/nowhere', AWS_EC2_METADATA_DISABLED: 'true' },
      /^ACCESS_DENIED no credentials found: AWS_EC2_METADATA_DISABLED/,
    ],
    ['the machine, to be asked', {}, { HOME: '/nowhere', AWS_EC2_METADATA_DISABLED: 'false' }, 'instance'],
    ['files elsewhere', {}, { AWS_SHARED_CREDENTIALS_FILE: file, HOME: '/nowhere' }, 'of-file'],
    [
      'a configuration elsewhere',
      {},
      { AWS_CONFIG_FILE: join(home, '.aws/config'), AWS_SHARED_CREDENTIALS_FILE: '/nowhere' },
      'of-config',
    ],
    ['~ in a variable', {}, { AWS_SHARED_CREDENTIALS_FILE: '~/cloud' }, 'of-file'],
  ];
  for (const [name, options, env, expected] of rows)
    t.match(await whose(options, { HOME: home, ...env }), expected, name);
});

test('endpoint, region and the rest', async (t) => {
  const home = homeWith(t, {
    config:
      '[default]\nregion = of-default\nca_bundle = ~/ca.pem\n[profile p]\nregion = of-p\nendpoint_url = http://p\nuse_fips_endpoint = TRUE\nservices = s\n[services s]\nsts =\n  endpoint_url = http://sts\n[profile f]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\nignore_configured_endpoint_urls = true\nendpoint_url = http://f\n',
  });
  const rows: [name: string, options: SettingsOptions, env: Record<string, string>, expected: object | RegExp][] = [
    [
      'nothing',
      {},
      { HOME: '/nowhere' },
      { region: undefined, endpoint: undefined, fips: false, dualstack: false, caBundle: undefined },
    ],
    [
      'the plan',
      { region: 'r', endpoint: 'http://plan' },
      { AWS_REGION: 'e', AWS_ENDPOINT_URL_S3: 'http://e' },
      { region: 'r', endpoint: 'http://plan' },
    ],
    ['AWS_REGION', {}, { AWS_REGION: 'e', AWS_DEFAULT_REGION: 'd' }, { region: 'e' }],
    ['AWS_DEFAULT_REGION', {}, { AWS_REGION: '', AWS_DEFAULT_REGION: 'd\n' }, { region: 'd' }],
    ['the profile [default]', {}, {}, { region: 'of-default' }],
    ['AWS_PROFILE', {}, { AWS_PROFILE: 'p' }, { region: 'of-p', endpoint: 'http://p', fips: false }],
    ['AWS_PROFILE, missing', {}, { AWS_PROFILE: 'x' }, { region: undefined }],
    ['a profile of the plan', { profile: 'p' }, { AWS_PROFILE: 'x' }, { region: 'of-p', endpoint: 'http://p' }],
    [
      'AWS_ENDPOINT_URL_S3',
      {},
      { AWS_ENDPOINT_URL_S3: 'http://s3', AWS_ENDPOINT_URL: 'http://any' },
      { endpoint: 'http://s3' },
    ],
    ['AWS_ENDPOINT_URL', {}, { AWS_ENDPOINT_URL: 'http://any', AWS_PROFILE: 'p' }, { endpoint: 'http://any' }],
    [
      'ignored',
      {},
      { AWS_ENDPOINT_URL: 'http://any', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'True' },
      { endpoint: undefined },
    ],
    [
      'ignored by the profile',
      { profile: 'f' },
      { AWS_ENDPOINT_URL: 'http://any' },
      { endpoint: undefined, fips: true, dualstack: true },
    ],
    [
      'not ignored after all',
      { profile: 'f' },
      { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'false' },
      { endpoint: 'http://f', fips: false, dualstack: false },
    ],
    [
      'ignored or not',
      {},
      { AWS_ENDPOINT_URL: 'http://any', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: '1' },
      /^USAGE AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: expected true or false, got "1"/,
    ],
    [
      'ignored or not, of no account',
      { endpoint: 'http://plan' },
      { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: '1' },
      { endpoint: 'http://plan' },
    ],
    ['FIPS', {}, { AWS_USE_FIPS_ENDPOINT: 'True' }, { fips: true }],
    ['FIPS over the profile', { profile: 'f' }, { AWS_USE_FIPS_ENDPOINT: 'false' }, { fips: false, dualstack: true }],
    [
      'FIPS or not',
      {},
      { AWS_USE_FIPS_ENDPOINT: 'yes' },
      /^USAGE AWS_USE_FIPS_ENDPOINT: expected true or false, got "yes"/,
    ],
    [
      'FIPS and dual-stack with an endpoint',
      { endpoint: 'http://plan' },
      { AWS_USE_FIPS_ENDPOINT: 'yes', AWS_USE_DUALSTACK_ENDPOINT: 'true' },
      { fips: false, dualstack: false },
    ],
    ['dual-stack', {}, { AWS_USE_DUALSTACK_ENDPOINT: 'true' }, { dualstack: true }],
    [
      'AWS_CA_BUNDLE',
      {},
      { AWS_CA_BUNDLE: '/a.pem', SSL_CERT_FILE: '/s.pem' },
      { caBundle: { file: '/a.pem', namedBy: 'AWS_CA_BUNDLE' } },
    ],
    ['ca_bundle', {}, { SSL_CERT_FILE: '/s.pem' }, { caBundle: { file: join(home, 'ca.pem') } }],
    [
      'SSL_CERT_FILE',
      {},
      { AWS_PROFILE: 'p', SSL_CERT_FILE: '/s.pem' },
      { caBundle: { file: '/s.pem', namedBy: 'SSL_CERT_FILE' } },
    ],
  ];
  for (const [name, options, env, expected] of rows) {
    const settings = await readSettings(options, { HOME: home, ...env }).catch((error: unknown) => {
      if (!(error instanceof DatamoverError)) throw error;
      return `${error.code} ${error.message}`;
    });
    t.match(settings, expected, name);
  }
  const sts = async (options: SettingsOptions, env: Record<string, string>): Promise<string | undefined> =>
    (await readSettings(options, { HOME: home, ...env })).stsEndpoint();
  t.equal(await sts({ endpoint: 'http://plan' }, {}), undefined, "the plan's endpoint is S3's");
  t.equal(await sts({ profile: 'p' }, {}), 'http://sts');
  t.equal(await sts({}, { AWS_ENDPOINT_URL: 'http://any' }), 'http://any');
  t.equal(
    await sts({ profile: 'p' }, { AWS_ENDPOINT_URL_STS: 'http://x', AWS_ENDPOINT_URL: 'http://any' }),
    'http://x',
  );
});
