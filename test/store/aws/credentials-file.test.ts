// The forms of a plan's credentials file: a row for each row of the table in docs/credentials.md.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../../src/errors.ts';
import { readIdentity } from '../../../src/store/aws/identity.ts';
import { readSettings } from '../../../src/store/aws/settings.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const SECRET = 'gEh/eim+0123456789=';
const KEYS = { kind: 'keys', accessKeyId: 'AKIA', secretAccessKey: SECRET };
const ROLE = 'arn:aws:iam::123456789012:role/r';
const PAIR = `aws_access_key_id = AKIA\naws_secret_access_key = ${SECRET}\n`;

interface Row {
  readonly name: string;
  readonly text: string | Buffer;
  readonly profile?: string;
}

async function identityOf(t: Test, { text, profile }: Row): Promise<unknown> {
  const file = join(tempFolder(t), 'cloud');
  writeFileSync(file, text);
  const env = {
    AWS_PROFILE: 'elsewhere',
    AWS_ACCESS_KEY_ID: 'other',
    AWS_SECRET_ACCESS_KEY: 'other',
    HOME: '/nowhere',
  };
  try {
    return await readIdentity({ credentialsFile: file, ...(profile === undefined ? {} : { profile }) }, env);
  } catch (error) {
    if (!(error instanceof DatamoverError)) throw error;
    t.notMatch(inspect(error, { depth: 10, showHidden: true }), SECRET, 'no secret in the error');
    t.not(error.hint, '');
    return `${error.code} ${error.message.replaceAll(file, 'FILE')}`;
  }
}

const READ: readonly (Row & { readonly gives: object })[] = [
  { name: 'plain', text: `[default]\n${PAIR}`, gives: KEYS },
  { name: 'quotes', text: `[default]\naws_access_key_id = "AKIA"\naws_secret_access_key = '${SECRET}'\n`, gives: KEYS },
  { name: 'colons', text: `[default]\naws_access_key_id: AKIA\naws_secret_access_key: ${SECRET}\n`, gives: KEYS },
  { name: 'upper case', text: `[default]\nAWS_ACCESS_KEY_ID=AKIA\nAws_Secret_Access_Key=${SECRET}\n`, gives: KEYS },
  { name: 'CR LF', text: `[default]\n${PAIR}`.replaceAll('\n', '\r\n'), gives: KEYS },
  { name: 'byte order mark', text: `\uFEFF[default]\n${PAIR}`, gives: KEYS },
  { name: 'no line break at the end', text: `[default]\n${PAIR}`.trimEnd(), gives: KEYS },
  { name: 'indented', text: `  [default]\n  ${PAIR.replace('\n', '\n  ')}`, gives: KEYS },
  { name: 'second key indented', text: `[default]\n${PAIR.replace('\n', '\n  ')}`, gives: KEYS },
  {
    name: 'comments',
    text: `# a\n[default] # b\naws_access_key_id = AKIA # c\naws_secret_access_key = ${SECRET} ; d\n`,
    gives: KEYS,
  },
  {
    name: '# within a value',
    text: `[default]\naws_access_key_id = AKIA\naws_secret_access_key = a#b;c\n`,
    gives: { ...KEYS, secretAccessKey: 'a#b;c' },
  },
  { name: 'nested section', text: `[default]\ns3 =\n  addressing_style = path\n  region = x\n${PAIR}`, gives: KEYS },
  { name: '[profile x]', text: `[profile x]\n${PAIR}`, profile: 'x', gives: KEYS },
  { name: '[profile default]', text: `[profile default]\n${PAIR}`, gives: KEYS },
  {
    name: '[x] over [profile x]',
    text: `[x]\n${PAIR}[profile x]\naws_access_key_id=old\naws_secret_access_key=old\n`,
    profile: 'x',
    gives: KEYS,
  },
  {
    name: 'section twice',
    text: `[default]\naws_access_key_id=AKIA\n[x]\n${PAIR}[default]\naws_secret_access_key=${SECRET}\n`,
    gives: KEYS,
  },
  { name: 'key twice', text: `[default]\naws_access_key_id=old\n${PAIR}`, gives: KEYS },
  {
    name: 'session token',
    text: `[default]\n${PAIR}aws_session_token = tok==\n`,
    gives: { ...KEYS, sessionToken: 'tok==' },
  },
  {
    name: 'security token',
    text: `[default]\n${PAIR}aws_security_token = tok\n`,
    gives: { ...KEYS, sessionToken: 'tok' },
  },
  { name: 'empty session token', text: `[default]\n${PAIR}aws_session_token =\n`, gives: KEYS },
  { name: 'unknown keys', text: `[default]\n${PAIR}toolkit_artifact_guid = 1\nx_principal = y\n`, gives: KEYS },
  { name: 'keys beside a login', text: `[default]\n${PAIR}sso_region = eu\ncredential_process = x\n`, gives: KEYS },
  { name: 'another profile with a program', text: `[default]\n${PAIR}[x]\ncredential_process = x\n`, gives: KEYS },
  { name: 'source_profile without a role', text: `[default]\nsource_profile = x\n${PAIR}`, gives: KEYS },
  {
    name: 'web identity',
    text: `[default]\nrole_arn = ${ROLE}\nweb_identity_token_file = /token\nrole_session_name = n\n`,
    gives: { kind: 'web-identity', roleArn: ROLE, tokenFile: '/token', sessionName: 'n' },
  },
  {
    name: 'role with source_profile',
    text: `[default]\nrole_arn = ${ROLE}\nsource_profile = base\nexternal_id = e\nduration_seconds = 900\n[base]\n${PAIR}`,
    gives: { kind: 'role', roleArn: ROLE, source: KEYS, externalId: 'e', seconds: 900 },
  },
  {
    name: 'role with itself as source_profile',
    text: `[default]\nrole_arn = ${ROLE}\nsource_profile = default\n${PAIR}`,
    gives: { kind: 'role', roleArn: ROLE, source: KEYS },
  },
  {
    name: 'role with keys of its own',
    text: `[default]\nrole_arn = ${ROLE}\n${PAIR}`,
    gives: { kind: 'role', roleArn: ROLE, source: KEYS },
  },
  {
    name: 'role of a role',
    text: `[default]\nrole_arn = ${ROLE}\nsource_profile = a\n[a]\nrole_arn = ${ROLE}2\nsource_profile = b\n[b]\n${PAIR}`,
    gives: { kind: 'role', roleArn: ROLE, source: { kind: 'role', roleArn: `${ROLE}2`, source: KEYS } },
  },
];

const REFUSED: readonly (Row & { readonly why: string })[] = [
  { name: 'no section', text: PAIR, why: 'PLAN_INVALID FILE:1: no section found, such as [default]' },
  { name: 'empty file', text: '', why: 'PLAN_INVALID FILE: no section found, such as [default]' },
  {
    name: 'base64 twice',
    text: Buffer.from(`[default]\n${PAIR}`).toString('base64'),
    why: 'PLAN_INVALID FILE: no section found, such as [default]',
  },
  {
    name: 'UTF-16',
    text: Buffer.from(`\uFEFF[default]\n${PAIR}`, 'utf16le'),
    why: 'PLAN_INVALID FILE: credentials file is not UTF-8 text',
  },
  {
    name: 'other section',
    text: `[other]\n${PAIR}`,
    why: 'PLAN_INVALID FILE: section [default] not found in FILE, which has [other]',
  },
  {
    name: 'upper-case section',
    text: `[DEFAULT]\n${PAIR}`,
    why: 'PLAN_INVALID FILE: section [default] not found in FILE, which has [DEFAULT]',
  },
  {
    name: 'missing profile',
    text: `[default]\n${PAIR}`,
    profile: 'x',
    why: 'PLAN_INVALID FILE: section [x] not found in FILE, which has [default]',
  },
  {
    name: 'no sign',
    text: `[default]\n${PAIR}${SECRET.replaceAll('=', '')}\n`,
    why: 'PLAN_INVALID FILE:4: not a section, a comment or a line "name = value"',
  },
  {
    name: 'open bracket',
    text: `[default\n${PAIR}`,
    why: 'PLAN_INVALID FILE:1: not a section: write [name], alone on its line',
  },
  {
    name: 'text behind the bracket',
    text: `[x]\n[default] x\n${PAIR}`,
    why: 'PLAN_INVALID FILE:2: not a section: write [name], alone on its line',
  },
  {
    name: 'no secret',
    text: '[default]\naws_access_key_id = AKIA\n',
    why: 'PLAN_INVALID FILE:2: [default] has aws_access_key_id, but aws_secret_access_key is missing',
  },
  {
    name: 'empty secret',
    text: '[default]\naws_access_key_id = AKIA\naws_secret_access_key =\n',
    why: 'PLAN_INVALID FILE:2: [default] has aws_access_key_id, but aws_secret_access_key is empty',
  },
  {
    name: 'no access key',
    text: `[default]\naws_secret_access_key = ${SECRET}\n`,
    why: 'PLAN_INVALID FILE:2: [default] has aws_secret_access_key, but aws_access_key_id is missing',
  },
  {
    name: 'token over two lines',
    text: `[default]\n${PAIR}aws_session_token = abc\n  ${SECRET}\n`,
    why: 'PLAN_INVALID FILE:5: the value of aws_session_token (line 4) continues on this line',
  },
  {
    name: 'token with = on the next line',
    text: `[default]\n${PAIR}aws_session_token =\n  ${SECRET}\n`,
    why: 'PLAN_INVALID FILE:5: the value of aws_session_token (line 4) continues on this line',
  },
  {
    name: 'token on the next line',
    text: `[default]\n${PAIR}aws_session_token =\n  abc\n`,
    why: 'PLAN_INVALID FILE:5: the value of aws_session_token (line 4) continues on this line',
  },
  {
    name: 'typographic quotes',
    text: `[default]\naws_access_key_id = AKIA\naws_secret_access_key = “${SECRET}”\n`,
    why: 'PLAN_INVALID FILE:3: invalid character in aws_secret_access_key',
  },
  {
    name: 'space within',
    text: `[default]\n${PAIR.replace('AKIA', 'AK IA')}`,
    why: 'PLAN_INVALID FILE:2: invalid character in aws_access_key_id',
  },
  {
    name: 'nothing',
    text: '[default]\n',
    why: 'ACCESS_DENIED no credentials found: FILE:1: [default] has neither keys nor a role',
  },
  {
    name: 'role without source',
    text: `[default]\nrole_arn = ${ROLE}\n`,
    why: 'ACCESS_DENIED no credentials found: FILE:1: [default] has neither keys nor a role',
  },
  {
    name: 'source_profile missing',
    text: `[default]\nrole_arn = ${ROLE}\nsource_profile = x\n`,
    why: 'PLAN_INVALID FILE:3: source_profile of [default]: section [x] not found in FILE, which has [default]',
  },
  {
    name: 'source_profile in a circle',
    text: `[default]\nrole_arn = ${ROLE}\nsource_profile = x\n[x]\nrole_arn = ${ROLE}\nsource_profile = default\n`,
    why: 'PLAN_INVALID FILE:6: source_profile of [x]: leads back to [default]',
  },
  {
    name: 'program',
    text: '[default]\ncredential_process = x\n',
    why: 'PLAN_INVALID FILE:2: credential_process of [default] is not supported',
  },
  {
    name: 'program of the source',
    text: `[default]\nrole_arn = ${ROLE}\nsource_profile = x\n[x]\ncredential_process = x\n`,
    why: 'PLAN_INVALID FILE:5: credential_process of [x] is not supported',
  },
  {
    name: 'sso',
    text: '[default]\nsso_session = x\n',
    why: 'PLAN_INVALID FILE:2: sso_session of [default] is not supported',
  },
  {
    name: 'login',
    text: '[default]\nlogin_session = x\n',
    why: 'PLAN_INVALID FILE:2: login_session of [default] is not supported',
  },
  {
    name: 'credential_source',
    text: `[default]\nrole_arn = ${ROLE}\ncredential_source = Environment\n`,
    why: 'PLAN_INVALID FILE:3: credential_source of [default] is not supported',
  },
  {
    name: 'mfa',
    text: `[default]\nrole_arn = ${ROLE}\nmfa_serial = x\n${PAIR}`,
    why: 'PLAN_INVALID FILE:3: mfa_serial of [default] is not supported',
  },
  {
    name: 'odd duration',
    text: `[default]\nrole_arn = ${ROLE}\nduration_seconds = 1h\n${PAIR}`,
    why: 'PLAN_INVALID FILE:3: duration_seconds of [default]: expected a number, got "1h"',
  },
];

test('forms that are read', async (t) => {
  for (const row of READ) t.strictSame(await identityOf(t, row), row.gives, row.name);
});

test('forms that are refused, with file and line', async (t) => {
  for (const row of REFUSED) t.equal(await identityOf(t, row), row.why, row.name);
});

test('a file that looks like base64 is told apart', async (t) => {
  const file = join(tempFolder(t), 'cloud');
  writeFileSync(file, `${Buffer.from(`[default]\n${PAIR}`).toString('base64')}\n`);
  const error = await readIdentity({ credentialsFile: file }, {}).catch((error: unknown) => error);
  t.match(error, { code: 'PLAN_INVALID', hint: /base64 -d/ });
});

test('region and endpoint of the file', async (t) => {
  const file = join(tempFolder(t), 'cloud');
  writeFileSync(
    file,
    `[default]\n${PAIR}region = "eu-file"\nendpoint_url = http://file\n[x]\n${PAIR}REGION: eu-x\nservices = s\n[services s]\ns3 =\n  endpoint_url = http://services\n[y]\n${PAIR}`,
  );
  const env = { HOME: '/nowhere' };
  const from = { credentialsFile: file };
  const settings = await readSettings(from, env);
  t.match(settings, { region: 'eu-file', endpoint: 'http://file' });
  t.equal(settings.stsEndpoint(), undefined, 'a token goes nowhere that a file names');
  t.match(await readSettings({ ...from, profile: 'x' }, env), { region: 'eu-x', endpoint: 'http://services' });
  t.match(await readSettings({ ...from, profile: 'y' }, env), { region: undefined, endpoint: undefined });
  t.match(await readSettings({ ...from, region: 'r', endpoint: 'http://plan' }, env), {
    region: 'r',
    endpoint: 'http://plan',
  });
  t.match(await readSettings(from, { ...env, AWS_REGION: 'env', AWS_ENDPOINT_URL: 'http://env' }), {
    region: 'env',
    endpoint: 'http://env',
  });
});
