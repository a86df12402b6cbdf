// What stands for Microsoft's services of identities: an authority that gives tokens for client credentials, and the management
// service that lists an account's keys, behind the proxy that leads to them. Both speak as documented; Azurite checks the tokens.

import { writeFileSync } from 'node:fs';
import { createServer as createProxy } from 'node:http';
import { createServer, type Server as TlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Certificates, makeCertificates } from './certificates.ts';
import { type Owner, tempFolder } from './tmp.ts';

export const TENANT = '11111111-2222-3333-4444-555555555555';
export const CLIENT = '66666666-7777-8888-9999-000000000000';

export interface Entra {
  /** Of the services, and of 127.0.0.1. */
  readonly certificates: Certificates & { readonly keyFile: string; readonly certFile: string };
  /** Leads to the services under their own names. */
  readonly env: { readonly HTTPS_PROXY: string; readonly NO_PROXY: string };
  /** The forms of token requests, and the paths of others. */
  readonly requests: Record<string, string>[];
  /** Refuses a token: the number of an AADSTS code. */
  refusal: number | undefined;
  /** Seconds until tokens expire. */
  lifetime: number;
  /** The key that the management service lists; undefined refuses with 403. */
  key: string | undefined;
}

/** Needs `openssl`. */
export async function startEntra(t: Owner): Promise<Entra> {
  const folder = tempFolder(t);
  const names = 'IP:127.0.0.1,DNS:login.microsoftonline.com,DNS:management.azure.com';
  const made = makeCertificates(folder, names);
  const certificates = { ...made, keyFile: join(folder, 'tls.key'), certFile: join(folder, 'tls.pem') };
  writeFileSync(certificates.keyFile, made.key);
  writeFileSync(certificates.certFile, made.cert);
  const entra: Omit<Entra, 'env'> = { certificates, requests: [], refusal: undefined, lifetime: 3600, key: undefined };
  const services = await listen(
    createServer({ key: made.key, cert: made.cert }, async (request, response) => {
      const path = request.url ?? '';
      const reply = (status: number, body: object): void => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      const base = `https://login.microsoftonline.com/${TENANT}`;
      if (path.includes('openid-configuration')) {
        const endpoints = {
          token_endpoint: `${base}/oauth2/v2.0/token`,
          authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
          jwks_uri: `${base}/discovery/v2.0/keys`,
        };
        return reply(200, { issuer: `${base}/v2.0`, ...endpoints });
      }
      if (/\/token(\?|$)/.test(path)) {
        const form = Object.fromEntries(new URLSearchParams(await text(request)));
        entra.requests.push(form);
        if (entra.refusal !== undefined) {
          const words = `AADSTS${entra.refusal}: refused. Trace ID: 0`;
          return reply(401, { error: 'invalid_client', error_description: words, error_codes: [entra.refusal] });
        }
        return reply(200, {
          token_type: 'Bearer',
          expires_in: entra.lifetime,
          access_token: tokenFor(form.scope, entra.lifetime),
        });
      }
      entra.requests.push({ path, authorization: request.headers.authorization ?? '' });
      if (!path.includes('/listKeys') || entra.key === undefined)
        return reply(403, { error: { code: 'AuthorizationFailed' } });
      return reply(200, { keys: [{ keyName: 'key1', permissions: 'FULL', value: entra.key }] });
    }),
    t,
  );
  const proxy = createProxy();
  proxy.on('connect', (_request, client, head) => {
    const server = connect(services, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.write(head);
      server.pipe(client).pipe(server);
    });
    for (const end of [server, client]) end.on('error', () => client.destroy());
  });
  const port = await listen(proxy, t);
  return Object.assign(entra, { env: { HTTPS_PROXY: `http://127.0.0.1:${port}`, NO_PROXY: '127.0.0.1' } });
}

/** As Microsoft makes them, but unsigned: Azurite checks issuer, audience and times. */
function tokenFor(scope: string | undefined, lifetime: number): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    aud: scope?.replace(/\/\.default$/, ''),
    iss: `https://sts.windows.net/${TENANT}/`,
    nbf: now - 60,
    iat: now - 60,
    exp: now + lifetime,
    tid: TENANT,
  };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', typ: 'JWT', kid: '1' })}.${part(claims)}.${Buffer.from('secret signature').toString('base64url')}`;
}

async function listen(server: TlsServer | ReturnType<typeof createProxy>, t: Owner): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
