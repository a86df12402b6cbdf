// What stands for Google Cloud Storage: its XML API over the real S3 server, and the services that give tokens, all as documented. It
// checks the signature and claims of service accounts, the token of every request, and that no header of S3 is sent.
import { createHash, createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, request as requestUpstream, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { crc32cOf } from './crc32c.ts';
import { type Rgw, startRgw } from './rgw.ts';
import { type Owner, tempFolder } from './tmp.ts';

export const EMAIL = 'restorer@project-1.iam.gserviceaccount.com';
export const SUBJECT_TOKEN = 'subject-token-EXAMPLE';

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';

/** Of all tests of a process: it takes a while to make. */
let pair: ReturnType<typeof makePair> | undefined;

function makePair() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { publicKey, pem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() };
}

export interface Gcs {
  readonly rgw: Rgw;
  /** `http://127.0.0.1:port`, of the storage and of all services. */
  readonly origin: string;
  /** The private key, in PEM. */
  readonly key: string;
  /** Requests for tokens: their forms, and their paths. */
  readonly tokenRequests: Record<string, string>[];
  /** The tokens that are valid. */
  readonly tokens: Set<string>;
  /** Whether new tokens are valid. */
  accepts: boolean;
  /** Seconds until new tokens expire. */
  lifetime: number;
  /** What the token service answers instead of a token. */
  refusal: { readonly status: number; readonly error: string; readonly description?: string } | undefined;
  /** How far the services' clock is ahead of this machine's. */
  clockMs: number;
  /** Changes the generation of every object. */
  generation: string;
  /** Objects have no MD5, as those that were composed of parts. */
  composite: boolean;
  /** Headers that replace those of objects whose name ends so. */
  readonly headers: Map<string, Readonly<Record<string, string>>>;
  createBucket(): Promise<string>;
  /** The file of a service account, with these fields replaced. */
  credentials(change?: object): string;
}

/** Needs what `startRgw` needs. */
export async function startGcs(t: Owner): Promise<Gcs> {
  const rgw = await startRgw(t);
  pair ??= makePair();
  const { pem } = pair;
  const agent = new Agent({ keepAlive: true });
  const hashes = new Map<string, Promise<string>>();
  const server = createServer((request, response) => {
    serve(gcs, { request, response, agent, hashes }).catch(() => response.socket?.resetAndDestroy());
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    agent.destroy();
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gcs: Gcs = {
    rgw,
    origin,
    key: pem,
    tokenRequests: [],
    tokens: new Set(),
    accepts: true,
    lifetime: 3599,
    refusal: undefined,
    clockMs: 0,
    generation: '',
    composite: false,
    headers: new Map(),
    createBucket: async () => {
      const bucket = await rgw.createBucket();
      // The translator's own requests are not signed.
      await rgw.openToAll(bucket);
      return bucket;
    },
    credentials: (change = {}) => {
      const file = join(tempFolder(t), 'cloud');
      const fields = {
        type: 'service_account',
        project_id: 'project-1',
        private_key_id: 'key-1',
        private_key: pem,
        client_email: EMAIL,
        token_uri: `${origin}/token`,
        universe_domain: 'googleapis.com',
      };
      writeFileSync(file, JSON.stringify({ ...fields, ...change }));
      return file;
    },
  };
  return gcs;
}

/** The file of an identity of another cluster, whose token is in a file. */
export function externalAccount(gcs: Gcs, t: Owner, change: object = {}): string {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'token'), `${SUBJECT_TOKEN}\n`);
  const file = join(folder, 'external.json');
  const fields = {
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${gcs.origin}/sts`,
    credential_source: { file: join(folder, 'token') },
  };
  writeFileSync(file, JSON.stringify({ ...fields, ...change }));
  return file;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly agent: Agent;
  readonly hashes: Map<string, Promise<string>>;
}

async function serve(gcs: Gcs, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const path = request.url ?? '/';
  response.setHeader('date', new Date(Date.now() + gcs.clockMs).toUTCString());
  if (/^\/(?:token|sts|impersonate|subject|computeMetadata)\b/.test(path))
    return await giveToken(gcs, request, response);
  const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const foreign = Object.keys(request.headers).find((name) => name.startsWith('x-amz-'));
  if (foreign !== undefined) return refuse(response, 400, 'InvalidArgument', `unexpected header ${foreign}`);
  if (!gcs.tokens.has(token)) {
    response.setHeader('www-authenticate', 'Bearer realm="https://accounts.google.com/", error="invalid_token"');
    return refuse(response, 401, 'AuthenticationRequired', `Authentication required. ${token}`);
  }
  await translate(gcs, exchange);
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const body = `<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  response.writeHead(status, { 'content-type': 'application/xml; charset=UTF-8', 'x-guploader-uploadid': 'id-1' });
  response.end(body);
}

async function translate(gcs: Gcs, { request, response, agent, hashes }: Exchange): Promise<void> {
  const url = new URL(request.url ?? '/', gcs.rgw.endpoint);
  const { range, 'if-match': ifMatch, 'x-goog-if-generation-match': wanted } = request.headers;
  const headers = {
    ...(range === undefined ? {} : { range }),
    ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
  };
  const sent = requestUpstream(url, { method: request.method ?? 'GET', headers, agent });
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject).end();
  });
  response.on('close', () => answer.destroy());
  const given = Object.entries(answer.headers).filter(
    ([name]) => !/^(?:x-amz-|date$|connection$|keep-alive$)/.test(name),
  );
  const { etag = '', 'last-modified': modified = '', 'content-range': part } = answer.headers;
  const isObject = (answer.statusCode ?? 0) < 300 && etag !== '';
  const generation = String(
    Number.parseInt(
      createHash('sha1')
        .update(etag + modified + gcs.generation)
        .digest('hex')
        .slice(0, 12),
      16,
    ),
  );
  if (isObject && typeof wanted === 'string' && wanted !== generation) {
    answer.destroy();
    return refuse(
      response,
      412,
      'PreconditionFailed',
      'At least one of the pre-conditions you specified did not hold.',
    );
  }
  const length = part?.split('/')[1] ?? answer.headers['content-length'] ?? '';
  const own = isObject
    ? {
        'x-goog-generation': generation,
        'x-goog-metageneration': '1',
        'x-goog-hash': await hashesOf(gcs, url, { etag, hashes }),
        'x-goog-stored-content-length': length,
        'x-goog-stored-content-encoding': 'identity',
        'x-goog-storage-class': 'STANDARD',
      }
    : {};
  const replaced = [...gcs.headers].find(([end]) => isObject && decodeURIComponent(url.pathname).endsWith(end))?.[1];
  response.writeHead(answer.statusCode ?? 502, {
    ...Object.fromEntries(given),
    ...own,
    'x-guploader-uploadid': 'id-1',
    ...replaced,
  });
  answer.pipe(response);
}

/** Of the complete object, which is read for it once. */
async function hashesOf(
  gcs: Gcs,
  url: URL,
  { etag, hashes }: { readonly etag: string; readonly hashes: Map<string, Promise<string>> },
): Promise<string[]> {
  const name = `${url.pathname} ${etag}`;
  const found = hashes.get(name) ?? fetchHash(url);
  hashes.set(name, found);
  const md5 = /^"([0-9a-f]{32})"$/.exec(etag)?.[1];
  const whole = md5 === undefined || gcs.composite ? [] : [`md5=${Buffer.from(md5, 'hex').toString('base64')}`];
  return [`crc32c=${await found}`, ...whole];
}

async function fetchHash(url: URL): Promise<string> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    requestUpstream(url).on('response', resolve).on('error', reject).end();
  });
  const hash = Buffer.alloc(4);
  hash.writeUInt32BE(crc32cOf(await buffer(answer)));
  return hash.toString('base64');
}

async function giveToken(gcs: Gcs, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? '/';
  const body = await text(request);
  const form: Record<string, string> = Object.fromEntries(new URLSearchParams(body));
  gcs.tokenRequests.push({ path, authorization: request.headers.authorization ?? '', ...form });
  const reply = (status: number, answer: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
  const { refusal } = gcs;
  if (refusal !== undefined) {
    return reply(refusal.status, { error: refusal.error, error_description: refusal.description ?? `refused ${body}` });
  }
  const wrong = wrongRequest(gcs, path, request, form);
  if (wrong !== undefined) return reply(400, { error: 'invalid_grant', error_description: wrong });
  if (path.startsWith('/subject')) return reply(200, { value: SUBJECT_TOKEN });
  // The token of an exchange that an impersonation follows reads no bucket.
  const isStep = path.startsWith('/sts') && form.scope !== SCOPE;
  const token = `${isStep ? 'step' : 'ya29'}.${randomUUID()}`;
  if (!isStep && gcs.accepts) gcs.tokens.add(token);
  if (path.startsWith('/impersonate')) {
    return reply(200, { accessToken: token, expireTime: new Date(Date.now() + gcs.lifetime * 1000).toISOString() });
  }
  reply(200, { access_token: token, expires_in: gcs.lifetime, token_type: 'Bearer' });
}

function wrongRequest(
  gcs: Gcs,
  path: string,
  request: IncomingMessage,
  form: Readonly<Record<string, string>>,
): string | undefined {
  if (path.startsWith('/computeMetadata')) {
    return request.headers['metadata-flavor'] === 'Google' ? undefined : 'Missing Metadata-Flavor:Google header.';
  }
  if (path.startsWith('/sts')) {
    const good = form.subject_token === SUBJECT_TOKEN && form.audience?.startsWith('//iam.googleapis.com/');
    return good ? undefined : 'The subject token is invalid.';
  }
  if (path.startsWith('/impersonate')) {
    return /^Bearer step\./.test(request.headers.authorization ?? '') ? undefined : 'Permission denied.';
  }
  if (path.startsWith('/subject')) return undefined;
  if (form.grant_type === 'refresh_token') return form.refresh_token === 'refresh-EXAMPLE' ? undefined : 'Bad Request';
  return form.grant_type === 'urn:ietf:params:oauth:grant-type:jwt-bearer'
    ? wrongClaims(gcs, form.assertion ?? '')
    : 'unsupported grant type';
}

function wrongClaims(gcs: Gcs, assertion: string): string | undefined {
  const [header = '', claims = '', signature = ''] = assertion.split('.');
  const decode = (part: string): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString());
  const { alg } = decode(header);
  const { iss, aud, scope, iat, exp } = decode(claims);
  const key = createPublicKey(gcs.key);
  const isSigned = verify('RSA-SHA256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'));
  if (alg !== 'RS256' || !isSigned) return 'Invalid JWT Signature.';
  const now = (Date.now() + gcs.clockMs) / 1000;
  const times = Number(exp) - Number(iat) <= 3600 && Math.abs(Number(iat) - now) < 300;
  if (!times) {
    return 'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.';
  }
  if (iss !== EMAIL) return 'Invalid grant: account not found';
  const isHere = aud === `${gcs.origin}/token` || aud === 'https://oauth2.googleapis.com/token';
  return isHere && scope === SCOPE ? undefined : 'Invalid JWT audience or scope';
}
