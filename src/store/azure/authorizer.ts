// Puts credentials on requests: a signature, a shared access signature or a token; and reads them again when they were refused.
import type { AzureOptions } from '../../azure-options.ts';
import type { TlsOptions } from '../http/connection.ts';
import type { Environment } from '../remote/environment.ts';
import type { ProxyEnvironment } from '../remote/proxy.ts';
import { CLOUDS, cloudOf } from './account.ts';
import { requestAccountKey } from './account-key.ts';
import { type Identity, readIdentity } from './identity.ts';
import { type SignedRequest, signGet } from './shared-key.ts';
import { TokenSource } from './tokens.ts';

export interface AuthorizerOptions {
  readonly options: AzureOptions;
  readonly env: Environment;
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  readonly answerMs: number;
}

/** The version of the REST API: the first in which listings encode names that XML cannot hold. */
const API_VERSION = '2021-02-12';

/** A request signed for another time than the server's is refused beyond 15 min. */
const SKEW_MS = 14 * 60_000;

const STORAGE_SCOPE = 'https://storage.azure.com/.default';

export class Authorizer {
  readonly #options: AuthorizerOptions;
  #identity: Promise<Identity> | undefined;
  #kind: Identity | undefined;
  #tokens: Promise<TokenSource> | undefined;
  /** The account's key, as an identity that may not read blobs was given it. */
  #borrowed: Uint8Array | undefined;
  #version = 0;
  #clockOffsetMs = 0;
  #renewing: Promise<boolean> | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** What a request that is authorized now is authorized with: grows whenever credentials or clock were corrected. */
  get version(): number {
    return this.#version;
  }

  /** What the last request was authorized with; for hints. */
  get identity(): Identity | undefined {
    return this.#kind;
  }

  /** The request with its credentials. Rejects as `readIdentity`, or with what Azure's library throws. */
  async authorize({ target, headers }: SignedRequest): Promise<SignedRequest> {
    this.#identity ??= this.#read();
    const identity = await this.#identity;
    this.#kind = identity;
    const date = new Date(Date.now() + this.#clockOffsetMs).toUTCString();
    const dated = { ...headers, 'x-ms-date': date, 'x-ms-version': API_VERSION };
    if (identity.kind === 'sas') {
      return { target: `${target}${target.includes('?') ? '&' : '?'}${identity.query}`, headers: dated };
    }
    const key = identity.kind === 'key' ? identity.key : this.#borrowed;
    if (key !== undefined) {
      const { account } = this.#options.options;
      return { target, headers: { ...dated, authorization: signGet({ target, headers: dated }, { account, key }) } };
    }
    this.#tokens ??= this.#openTokens(STORAGE_SCOPE);
    return { target, headers: { ...dated, authorization: `Bearer ${await (await this.#tokens).get()}` } };
  }

  /**
   * Why a request that was refused is worth another attempt; undefined when it is not. `version`: what it was authorized with. `serverDate`:
   * the Date of the answer. `lacksRole`: an identity was refused for a missing role.
   */
  async afterRefusal(
    version: number,
    { serverDate, lacksRole }: { readonly serverDate: string | undefined; readonly lacksRole: boolean },
  ): Promise<string | undefined> {
    if (version !== this.#version) return 'the request was authorized with outdated credentials';
    this.#renewing ??= this.#correct(serverDate, lacksRole).finally(() => {
      this.#renewing = undefined;
    });
    if (!(await this.#renewing)) return undefined;
    return 'the request is repeated with other credentials, or for the time of the server';
  }

  async #correct(serverDate: string | undefined, lacksRole: boolean): Promise<boolean> {
    const identity = this.#kind;
    const offset = Date.parse(serverDate ?? '') - Date.now();
    const signs = identity?.kind === 'key' || this.#borrowed !== undefined;
    if (signs && Math.abs(offset) > SKEW_MS && Math.abs(offset - this.#clockOffsetMs) > SKEW_MS) {
      this.#clockOffsetMs = offset;
      this.#version += 1;
      return true;
    }
    if (lacksRole && identity?.kind === 'entra' && identity.account !== undefined && this.#borrowed === undefined) {
      this.#borrowed = await this.#requestKey(identity.account);
      this.#version += 1;
      return true;
    }
    return await this.#reread(identity);
  }

  /** Whoever mounts the files may have renewed them. */
  async #reread(before: Identity | undefined): Promise<boolean> {
    const after = await this.#read();
    const same = before !== undefined && fingerprint(before) === fingerprint(after);
    if (same) return false;
    this.#identity = Promise.resolve(after);
    this.#tokens = undefined;
    this.#borrowed = undefined;
    this.#version += 1;
    return true;
  }

  async #read(): Promise<Identity> {
    const { options, env } = this.#options;
    return (await readIdentity(options, env)).identity;
  }

  async #openTokens(scope: string): Promise<TokenSource> {
    const { options, env, tls, proxies, answerMs } = this.#options;
    const { identity, cloudName } = await readIdentity(options, env);
    if (identity.kind !== 'entra') throw new TypeError('only an identity is given tokens');
    const cloud = CLOUDS[options.cloud ?? cloudOf(cloudName ?? '') ?? 'AzurePublicCloud'];
    const authority = identity.authority ?? cloud.authority;
    return new TokenSource(scope, { identity: identity.identity, authority, tls, proxies, answerMs });
  }

  async #requestKey(account: NonNullable<Extract<Identity, { kind: 'entra' }>['account']>): Promise<Uint8Array> {
    const { options, env, tls, proxies, answerMs } = this.#options;
    const { cloudName } = await readIdentity(options, env);
    const { management } = CLOUDS[options.cloud ?? cloudOf(cloudName ?? '') ?? 'AzurePublicCloud'];
    const tokens = await this.#openTokens(`${management}/.default`);
    const token = await tokens.get();
    return await requestAccountKey({ ...account, account: options.account, management, token, tls, proxies, answerMs });
  }
}

/** Equal for the same credentials. */
function fingerprint(identity: Identity): string {
  return JSON.stringify(identity, (_, value: unknown) => (value instanceof Uint8Array ? [...value] : value));
}
