// Credentials files of Google Cloud as people have them, and those of other clouds; no message quotes a value.
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import { parseCredentialsFile } from '../../../src/store/gcs/credentials-file.ts';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' });

const SERVICE = { type: 'service_account', client_email: 'a@b.iam.gserviceaccount.com', private_key: PEM };
const EXTERNAL = {
  type: 'external_account',
  audience: '//iam.googleapis.com/x',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: 'https://sts.googleapis.com/v1/token',
  credential_source: { file: '/var/run/token' },
};

function parsed(content: string | Buffer | object, users = false) {
  const bytes = typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content);
  return parseCredentialsFile(Buffer.from(bytes), '/credentials/cloud', { code: 'PLAN_INVALID', users });
}

test('what is read', async (t) => {
  t.match(parsed(SERVICE), {
    kind: 'service-account',
    email: SERVICE.client_email,
    tokenUrl: { hostname: 'oauth2.googleapis.com' },
  });
  t.match(parsed(`\uFEFF\r\n${JSON.stringify(SERVICE, undefined, 2).replaceAll('\n', '\r\n')}\r\n`), {
    kind: 'service-account',
  });
  t.match(parsed({ ...SERVICE, private_key: PEM.replaceAll('\n', '\\n') }), { kind: 'service-account' });
  t.match(parsed(EXTERNAL), {
    kind: 'external-account',
    subject: { file: '/var/run/token' },
    impersonation: undefined,
  });
  const metadata = { url: 'http://169.254.169.254/metadata/identity/oauth2/token', headers: { Metadata: 'True' } };
  t.match(parsed({ ...EXTERNAL, credential_source: metadata }), { subject: { headers: { Metadata: 'True' } } });
  const user = { type: 'authorized_user', client_id: 'c', client_secret: 's', refresh_token: 'r' };
  t.match(parsed(user, true), { kind: 'user', refreshToken: 'r' });
});

test('what is refused, with what it is', async (t) => {
  const secret = 'SECRET';
  const base64 = Buffer.from(JSON.stringify({ ...SERVICE, padding: secret }, undefined, 2)).toString('base64');
  const external = (source: object) => ({ ...EXTERNAL, credential_source: source });
  const cases: [string, string | Buffer | object, RegExp, RegExp][] = [
    ['empty', ' \n', /cloud: credentials file is empty/, /service_account/],
    [
      'AWS',
      `[default]\naws_secret_access_key = ${secret}\n`,
      /cloud:1: credentials file of AWS/,
      /source of the cloud/,
    ],
    ['Azure', `AZURE_CLIENT_SECRET=${secret}\n`, /cloud:1: credentials file of Azure/, /source of the cloud/],
    ['base64', base64, /is base64/, /base64 -d/],
    ['a PEM key', PEM, /a private key alone/, /JSON key/],
    ['PKCS #12', Buffer.from([0x30, 0x82, 0, 0xff]), /not UTF-8 text/, /JSON key/],
    [
      'damaged',
      `{\n"type": "service_account",\n"private_key": "${secret}" x}`,
      /cloud:3: credentials file is not JSON/,
      /JSON key/,
    ],
    ['cut short', `{"private_key": "${secret}`, /credentials file is not JSON/, /JSON key/],
    ['no object', [secret], /"type" is missing/, /JSON key/],
    ['OAuth client', { installed: { client_secret: secret } }, /an OAuth client/, /JSON key/],
    ['login', { type: 'authorized_user', refresh_token: secret }, /login of gcloud/, /GOOGLE_APPLICATION_CREDENTIALS/],
    [
      'other type',
      { type: 'gdch_service_account', key: secret },
      /unsupported type .*gdch_service_account/,
      /JSON key/,
    ],
    [
      'fields',
      { type: 'service_account', private_key: 5 },
      /missing or invalid: client_email, private_key$/,
      /JSON key/,
    ],
    ['key', { ...SERVICE, private_key: secret }, /private_key is not a private key in PEM/, /keys create/],
    ['kind of key', { ...SERVICE, private_key: EC }, /not an RSA key/, /keys create/],
    ['universe', { ...SERVICE, universe_domain: 'example.com' }, /unsupported universe_domain/, /googleapis.com/],
    [
      'token_uri',
      { ...SERVICE, token_uri: `http://example.com/${secret}` },
      /token_uri is not an https URL/,
      /JSON key/,
    ],
    [
      'program',
      external({ executable: { command: secret } }),
      /unsupported credential_source: executable/,
      /file or url/,
    ],
    [
      'AWS identity',
      external({ environment_id: 'aws1' }),
      /unsupported credential_source: environment_id/,
      /file or url/,
    ],
    ['no source', external({}), /names neither file nor url/, /file or url/],
    [
      'source URL',
      external({ url: `http://example.com/${secret}` }),
      /credential_source.url is not an https URL/,
      /JSON/,
    ],
    [
      'headers',
      external({ url: 'https://example.com/', headers: { x: `${secret}\r\ny: z` } }),
      /credential_source.headers.x$/,
      /JSON key/,
    ],
    ['field', external({ file: '/x', format: { type: 'json' } }), /subject_token_field_name/, /JSON key/],
  ];
  for (const [name, content, message, hint] of cases) {
    try {
      parsed(content);
      t.fail(`${name} is taken`);
    } catch (error) {
      t.type(error, DatamoverError, name);
      t.match(error, { code: 'PLAN_INVALID', message, hint }, name);
      t.notMatch(
        `${error} ${error instanceof DatamoverError ? `${error.hint} ${error.cause}` : ''}`,
        /SECRET|BEGIN|MII/,
      );
    }
  }
});
