// Tokens of Microsoft Entra, through Azure's own library, which is loaded when one is needed.
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { TokenCredential, TokenCredentialOptions } from '@azure/identity';
import type { TlsOptions } from '../http/connection.ts';
import { readNamedFile } from '../remote/named-file.ts';
import type { ProxyEnvironment } from '../remote/proxy.ts';
import type { EntraIdentity } from './identity.ts';

export interface TokenOptions {
  readonly identity: EntraIdentity;
  readonly authority: string;
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  /** An answer may take so long. */
  readonly answerMs: number;
}

export interface AccessToken {
  readonly token: string;
  /** As `Date.now()`. */
  readonly expiresAt: number;
}

/** A new token is requested so long before the old one expires. */
const EARLY_MS = 5 * 60_000;

export class TokenSource {
  readonly #options: TokenOptions;
  readonly #scope: string;
  #credential: Promise<TokenCredential> | undefined;
  #token: AccessToken | undefined;
  #asking: Promise<AccessToken> | undefined;
  /** The library does not pass on why a connection failed. */
  #connectionFailure: unknown;

  constructor(scope: string, options: TokenOptions) {
    this.#scope = scope;
    this.#options = options;
  }

  /** The current token, or a new one; rejects as Azure's library. */
  async get(): Promise<string> {
    const now = Date.now();
    if (this.#token !== undefined && this.#token.expiresAt - now > EARLY_MS) return this.#token.token;
    try {
      return (await this.#ask()).token;
    } catch (error) {
      if (this.#token !== undefined && this.#token.expiresAt > now) return this.#token.token;
      throw error;
    }
  }

  /** The next `get` requests a new token from a new reading of the identity's files. */
  forget(): void {
    this.#token = undefined;
    this.#credential = undefined;
  }

  async #ask(): Promise<AccessToken> {
    this.#asking ??= this.#request().finally(() => {
      this.#asking = undefined;
    });
    return await this.#asking;
  }

  async #request(): Promise<AccessToken> {
    this.#connectionFailure = undefined;
    this.#credential ??= openCredential(this.#options, (error) => {
      this.#connectionFailure = error;
    });
    try {
      const token = await (await this.#credential).getToken(this.#scope);
      if (token === null) throw new Error('no token');
      this.#token = { token: token.token, expiresAt: token.expiresOnTimestamp };
      return this.#token;
    } catch (error) {
      this.#credential = undefined;
      throw this.#connectionFailure ?? error;
    }
  }
}

async function openCredential(
  { identity, authority, ...options }: TokenOptions,
  onFailure: (error: unknown) => void,
): Promise<TokenCredential> {
  const azure = await import('@azure/identity');
  const common = { ...clientOptions(options, onFailure), authorityHost: authority };
  switch (identity.kind) {
    case 'secret':
      return new azure.ClientSecretCredential(identity.tenant, identity.client, identity.secret, {
        ...common,
        disableInstanceDiscovery: true,
      });
    case 'certificate': {
      const { certificate, password } = identity;
      const pem =
        'pem' in certificate
          ? certificate.pem
          : (await readNamedFile(certificate.path, 'client certificate')).toString('utf8');
      const locked = password === undefined ? {} : { certificatePassword: password };
      return new azure.ClientCertificateCredential(
        identity.tenant,
        identity.client,
        { certificate: pem, ...locked },
        { ...common, disableInstanceDiscovery: true },
      );
    }
    case 'federated':
      await readNamedFile(identity.tokenFile, 'federated token file', {
        code: 'ACCESS_DENIED',
        namedBy: 'AZURE_FEDERATED_TOKEN_FILE',
      });
      return new azure.WorkloadIdentityCredential({
        ...common,
        tenantId: identity.tenant,
        clientId: identity.client,
        tokenFilePath: identity.tokenFile,
        disableInstanceDiscovery: true,
      });
    case 'managed':
      return new azure.ManagedIdentityCredential({
        ...common,
        ...(identity.client === undefined ? {} : { clientId: identity.client }),
      });
  }
}

/** Where a machine of Azure's asks for its identity. */
const METADATA_HOST = '169.254.169.254';
const METADATA_MS = 1000;

/** The library's requests, over agents that know the proxies and the certificates of the source; its retries are off. */
function clientOptions(
  { tls, proxies, answerMs }: Omit<TokenOptions, 'identity' | 'authority'>,
  onFailure: (error: unknown) => void,
): TokenCredentialOptions {
  const agent = { keepAlive: false, proxyEnv: { ...proxies } };
  const http = new Agent(agent);
  const https = new TlsAgent({ ...agent, ...tls, rejectUnauthorized: true });
  return {
    retryOptions: { maxRetries: 0 },
    additionalPolicies: [
      {
        position: 'perRetry',
        policy: {
          name: 'kubevirt-datamover',
          sendRequest: async (request, next) => {
            const { protocol, hostname } = new URL(request.url);
            request.agent = protocol === 'https:' ? https : http;
            request.timeout = hostname === METADATA_HOST ? METADATA_MS : answerMs;
            try {
              return await next(request);
            } catch (error) {
              onFailure(error);
              throw error;
            }
          },
        },
      },
    ],
  };
}
