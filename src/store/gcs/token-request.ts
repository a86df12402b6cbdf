// Requests for a token, one for each kind of credentials, as RFC 6749, RFC 7523 and RFC 8693 and Google document them.
import { sign } from 'node:crypto';
import { z } from 'zod';
import { parseJson } from '../../parse-json.ts';
import { readNamedFile } from '../remote/named-file.ts';
import { requestWeb, type WebAnswer, type WebOptions, type WebRequest } from '../remote/web-request.ts';
import type { Credentials, ExternalAccount, ServiceAccount, SubjectSource, User } from './credentials.ts';

export interface AccessToken {
  readonly token: string;
  /** As `Date.now()`. */
  readonly expiresAt: number;
}

export type TokenService = 'token service' | 'metadata service' | 'service of the other identity';

/** A service answered, and gave no token. Holds none of its words but the error's name, which is `invalid_grant` or the like. */
export class NoToken extends Error {
  override readonly name = 'NoToken';
  readonly service: TokenService;
  readonly status: number;
  readonly code: string;
  /** May quote the request: never shown. */
  readonly description: string;
  readonly date: string | undefined;

  constructor(service: TokenService, { status, date, body }: WebAnswer) {
    super(`the ${service} answered ${status}`);
    const { data } = refusalSchema.safeParse(parseJson(body));
    const error = data?.error;
    const code = typeof error === 'string' ? error : (error?.status ?? '');
    this.service = service;
    this.status = status;
    this.date = date;
    this.code = /^[A-Za-z_]{1,64}$/.test(code) ? code : '';
    this.description = data?.error_description ?? (typeof error === 'object' ? (error.message ?? '') : '');
  }
}

/** What a header can hold. */
const bearer = z.string().regex(/^[\x21-\x7e]+$/);

/** RFC 6749, 5.2; or the form of Google's other services. */
const refusalSchema = z.looseObject({
  error: z
    .union([z.string(), z.looseObject({ status: z.string().optional(), message: z.string().optional() })])
    .optional(),
  error_description: z.string().optional(),
});

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';

/** `now`: the time of the server, as `Date.now()`. Rejects with `NoToken`, or as the connection or a file fails. */
export async function requestToken(credentials: Credentials, now: number, options: WebOptions): Promise<AccessToken> {
  switch (credentials.kind) {
    case 'service-account':
      return await tokenOfServiceAccount(credentials, now, options);
    case 'external-account':
      return await tokenOfExternalAccount(credentials, options);
    case 'user':
      return await tokenOfUser(credentials, options);
    case 'metadata':
      return await tokenOfMachine(credentials, options);
  }
}

async function tokenOfServiceAccount(account: ServiceAccount, now: number, options: WebOptions): Promise<AccessToken> {
  const form = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: signedClaims(account, now) };
  return tokenOf('token service', await requestWeb(account.tokenUrl, post(form), options));
}

/** A JWT (RFC 7519) with RS256. Its longest life is an hour. */
function signedClaims({ email, keyId, key, tokenUrl }: ServiceAccount, now: number): string {
  const iat = Math.floor(now / 1000);
  const header = { alg: 'RS256', typ: 'JWT', ...(keyId === undefined ? {} : { kid: keyId }) };
  const claims = { iss: email, scope: SCOPE, aud: tokenUrl.href, iat, exp: iat + 3600 };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), key).toString('base64url')}`;
}

async function tokenOfUser({ client, refreshToken, tokenUrl }: User, options: WebOptions): Promise<AccessToken> {
  const { id, secret } = client;
  const form = { grant_type: 'refresh_token', client_id: id, client_secret: secret, refresh_token: refreshToken };
  return tokenOf('token service', await requestWeb(tokenUrl, post(form), options));
}

async function tokenOfExternalAccount(account: ExternalAccount, options: WebOptions): Promise<AccessToken> {
  const { audience, subjectTokenType, tokenUrl, client, userProject, impersonation } = account;
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience,
    scope: impersonation === undefined ? SCOPE : 'https://www.googleapis.com/auth/cloud-platform',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token_type: subjectTokenType,
    subject_token: await subjectToken(account.subject, options),
    ...(userProject === undefined || client !== undefined ? {} : { options: JSON.stringify({ userProject }) }),
  };
  const basic = client && Buffer.from(`${client.id}:${client.secret}`).toString('base64');
  const headers = basic === undefined ? {} : { authorization: `Basic ${basic}` };
  const exchanged = tokenOf('token service', await requestWeb(tokenUrl, post(form, headers), options));
  if (impersonation === undefined) return exchanged;
  const answer = await requestWeb(
    impersonation.url,
    {
      method: 'POST',
      headers: { authorization: `Bearer ${exchanged.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ scope: [SCOPE], lifetime: `${impersonation.seconds}s` }),
    },
    options,
  );
  const { data } = z.object({ accessToken: bearer, expireTime: z.iso.datetime() }).safeParse(parseJson(answer.body));
  if (answer.status !== 200 || data === undefined) throw new NoToken('token service', answer);
  return { token: data.accessToken, expiresAt: Date.parse(data.expireTime) };
}

async function subjectToken(source: SubjectSource, options: WebOptions): Promise<string> {
  const content = 'file' in source ? await readTokenFile(source.file) : await fetchToken(source, options);
  const { field } = source;
  if (field === undefined) return content.trim();
  const { data } = z.looseObject({ [field]: z.string() }).safeParse(parseJson(content));
  const token = data?.[field];
  if (typeof token === 'string') return token;
  throw new NoToken('service of the other identity', { status: 200, date: undefined, body: '' });
}

async function readTokenFile(file: string): Promise<string> {
  const options = { code: 'ACCESS_DENIED', namedBy: 'credential_source.file of the credentials file' } as const;
  return (await readNamedFile(file, 'token file', options)).toString('utf8');
}

async function fetchToken(
  { url, headers }: Extract<SubjectSource, { url: URL }>,
  options: WebOptions,
): Promise<string> {
  const answer = await requestWeb(
    url,
    { method: 'GET', headers },
    isLinkLocal(url) ? { ...options, proxies: {} } : options,
  );
  if (answer.status !== 200) throw new NoToken('service of the other identity', answer);
  return answer.body;
}

/** Metadata services are reached directly only. */
function isLinkLocal({ hostname }: URL): boolean {
  return /^169\.254\./.test(hostname);
}

/** Off Google Cloud nothing answers there. */
const METADATA_MS = 3000;

async function tokenOfMachine({ host }: { readonly host: string }, options: WebOptions): Promise<AccessToken> {
  const url = new URL(`http://${host}/computeMetadata/v1/instance/service-accounts/default/token?scopes=${SCOPE}`);
  const direct = { ...options, proxies: {}, answerMs: Math.min(METADATA_MS, options.answerMs) };
  const headers = { 'metadata-flavor': 'Google' };
  return tokenOf('metadata service', await requestWeb(url, { method: 'GET', headers }, direct));
}

function post(form: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}): WebRequest {
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', headers: { ...type, ...headers }, body: new URLSearchParams(form).toString() };
}

const tokenSchema = z.looseObject({
  access_token: bearer,
  expires_in: z.number().positive(),
});

function tokenOf(service: TokenService, answer: WebAnswer): AccessToken {
  const { data } = tokenSchema.safeParse(parseJson(answer.body));
  if (answer.status !== 200 || data === undefined) throw new NoToken(service, answer);
  return { token: data.access_token, expiresAt: Date.now() + data.expires_in * 1000 };
}
