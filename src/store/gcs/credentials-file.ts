// A JSON file with credentials of Google Cloud: of a service account, an identity of another cloud, or a login of gcloud.
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { DatamoverError } from '../../errors.ts';
import { readNamedFile } from '../remote/named-file.ts';
import type { FileCredentials, ServiceAccount, User } from './credentials.ts';
import { externalAccount } from './external-file.ts';
import { type Refuse, readFields, secureUrl, text } from './file-fields.ts';
import { CREDENTIALS } from './hints.ts';

export interface FileOptions {
  /** For a file that cannot be used. */
  readonly code: 'PLAN_INVALID' | 'ACCESS_DENIED';
  /** What names the file, if not the plan. */
  readonly namedBy?: string;
  /** The file is the user's own: it may hold a login of gcloud. */
  readonly users: boolean;
}

/** Reads and checks the file; `code` for one that cannot be used. No message quotes a value of it. */
export async function readCredentialsFile(file: string, options: FileOptions): Promise<FileCredentials> {
  const { code, namedBy } = options;
  const named = namedBy === undefined ? { code } : { code, namedBy };
  return parseCredentialsFile(await readNamedFile(file, 'credentials file', named), file, options);
}

export function parseCredentialsFile(bytes: Buffer, file: string, { code, users }: FileOptions): FileCredentials {
  const refuse: Refuse = (why, hint = FORM, line) => {
    throw new DatamoverError(code, `${file}${line === undefined ? '' : `:${line}`}: ${why}`, { hint });
  };
  const document = parseDocument(bytes, refuse);
  const type = z.looseObject({ type: z.string() }).safeParse(document).data?.type;
  if (type === 'service_account') return serviceAccount(document, refuse);
  if (type === 'external_account') return externalAccount(document, refuse);
  if (type === 'authorized_user' && users) return user(document, refuse);
  if (type === 'authorized_user')
    return refuse('a login of gcloud (authorized_user), not a service account', OWN_LOGIN);
  if (type !== undefined) return refuse(`unsupported type of credentials: ${JSON.stringify(type.slice(0, 64))}`);
  const client = z.looseObject({}).safeParse(document).data;
  const isClient = client !== undefined && ('installed' in client || 'web' in client);
  return refuse(isClient ? 'an OAuth client, which has no rights of its own' : 'no credentials: "type" is missing');
}

const FORM = `name the JSON key of a service account (type service_account) or a file of type external_account with ${CREDENTIALS}`;
const OWN_LOGIN =
  'use the key of a service account, or set GOOGLE_APPLICATION_CREDENTIALS to this file instead, which uses the login';
const OTHER_CLOUD = 'name the JSON file of Google Cloud, or use the source of the cloud that the file belongs to';

/** The error of JSON.parse quotes the text, so that it is not passed on. */
function parseDocument(bytes: Buffer, refuse: Refuse): unknown {
  const content = bytes.toString('utf8').replace(/^\uFEFF/, '');
  if (/[\0\uFFFD]/.test(content)) return refuse('credentials file is not UTF-8 text');
  if (content.trim() === '') return refuse('credentials file is empty');
  if (/^\s*aws_(?:access_key_id|secret_access_key)\s*[=:]/im.test(content)) {
    return refuse('credentials file of AWS, not of Google Cloud', OTHER_CLOUD, 1);
  }
  if (/^\s*(?:export\s+)?AZURE_\w+\s*[=:]/m.test(content)) {
    return refuse('credentials file of Azure, not of Google Cloud', OTHER_CLOUD, 1);
  }
  if (/^\s*ew[A-Za-z0-9+/\s]{40,}=*\s*$/.test(content)) {
    return refuse('credentials file is base64', 'decode it: base64 -d FILE > KEY.json, and name that file');
  }
  if (/^\s*-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(content)) {
    return refuse('a private key alone, not the JSON file of a service account');
  }
  try {
    return JSON.parse(content);
  } catch (error) {
    const line = /\(line (\d+) column \d+\)/.exec(error instanceof Error ? error.message : '')?.[1];
    return refuse('credentials file is not JSON', FORM, line === undefined ? undefined : Number(line));
  }
}

const serviceAccountSchema = z.looseObject({
  client_email: text,
  private_key: text,
  private_key_id: text.optional(),
  token_uri: text.optional(),
  universe_domain: text.optional(),
});

/** Where service accounts and users request tokens, unless their file says otherwise. */
const TOKEN_URL = 'https://oauth2.googleapis.com/token';

function serviceAccount(document: unknown, refuse: Refuse): ServiceAccount {
  const fields = readFields(document, serviceAccountSchema, refuse);
  const { client_email: email, private_key_id: keyId, token_uri: tokenUrl, universe_domain: universe } = fields;
  if (universe !== undefined && universe !== 'googleapis.com') {
    return refuse(
      `unsupported universe_domain ${JSON.stringify(universe.slice(0, 64))}`,
      'only googleapis.com is supported',
    );
  }
  const key = privateKey(fields.private_key, refuse);
  return {
    kind: 'service-account',
    email,
    keyId,
    key,
    tokenUrl: secureUrl(tokenUrl ?? TOKEN_URL, 'token_uri', refuse),
  };
}

/** A key that went through a variable or a template may have `\n` in place of its line breaks. */
function privateKey(pem: string, refuse: Refuse): KeyObject {
  const hint = 'create a new key: gcloud iam service-accounts keys create KEY.json --iam-account EMAIL';
  let key: KeyObject;
  try {
    key = createPrivateKey(pem.replaceAll('\\n', '\n'));
  } catch {
    return refuse('private_key is not a private key in PEM', hint);
  }
  return key.asymmetricKeyType === 'rsa' ? key : refuse('private_key is not an RSA key', hint);
}

const userSchema = z.looseObject({ client_id: text, client_secret: text, refresh_token: text });

function user(document: unknown, refuse: Refuse): User {
  const {
    client_id: id,
    client_secret: secret,
    refresh_token: refreshToken,
  } = readFields(document, userSchema, refuse);
  return { kind: 'user', client: { id, secret }, refreshToken, tokenUrl: new URL(TOKEN_URL) };
}
