// The token that requests carry: requested when it is needed, renewed before it expires and after a refusal.
import type { GcsOptions } from '../../gcs-options.ts';
import type { TlsOptions } from '../http/connection.ts';
import type { Environment } from '../remote/environment.ts';
import type { ProxyEnvironment } from '../remote/proxy.ts';
import { type Identity, readIdentity } from './identity.ts';
import { type AccessToken, NoToken, requestToken } from './token-request.ts';

export interface TokenOptions {
  readonly options: GcsOptions;
  readonly env: Environment;
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  readonly answerMs: number;
}

/**
 * A new token is requested so long before the old one expires: metadata services keep giving the old one until 5 min before. Of one with
 * a short life it is the second half.
 */
const EARLY_MS = 225_000;

/** While the old token is still valid, a failed request for a new one is repeated after so long. */
const PAUSE_MS = 30_000;

/** Google accepts claims that were signed up to 5 min in the past or future. */
const SKEW_MS = 60_000;

export class Tokens {
  readonly #options: TokenOptions;
  readonly #closing = new AbortController();
  #identity: Identity | undefined;
  #token: AccessToken | undefined;
  #pending: Promise<AccessToken> | undefined;
  #version = 0;
  #clockOffsetMs = 0;
  #renewAt = 0;
  /** The token was requested after a refusal, and no request has succeeded with it yet. */
  #renewed = false;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** Which token a request has that starts now: grows whenever one was refused. */
  get version(): number {
    return this.#version;
  }

  /** Whose token the last request had; for hints. */
  get identity(): Identity | undefined {
    return this.#identity;
  }

  /** Rejects as `readIdentity`, with `NoToken`, or as the connection fails. */
  async get(): Promise<string> {
    const current = this.#token;
    if (current !== undefined && Date.now() < this.#renewAt) return current.token;
    try {
      return (await this.#request()).token;
    } catch (error) {
      if (current === undefined || current !== this.#token || current.expiresAt <= Date.now()) throw error;
      this.#renewAt = Math.min(Date.now() + PAUSE_MS, current.expiresAt);
      return current.token;
    }
  }

  /** A request with the token of this version succeeded. */
  accepted(version: number): void {
    if (version === this.#version) this.#renewed = false;
  }

  /**
   * Whether a request that was refused is worth another attempt: with a token of the credentials as they are now, once after a 401, and
   * after another refusal only if they are other ones.
   */
  async afterRefusal(version: number, status: number): Promise<boolean> {
    if (version !== this.#version) return true;
    if (status === 401 ? this.#renewed : !(await this.#isReplaced())) return false;
    // Another refusal may have come first.
    if (version === this.#version) {
      this.#version += 1;
      this.#token = undefined;
      this.#renewed = true;
    }
    return true;
  }

  /** Ends a request for a token. */
  close(): void {
    this.#closing.abort(new Error('the source was closed'));
  }

  async #isReplaced(): Promise<boolean> {
    const { options, env } = this.#options;
    const before = this.#identity;
    return before !== undefined && fingerprint(before) !== fingerprint(await readIdentity(options, env));
  }

  async #request(): Promise<AccessToken> {
    this.#pending ??= this.#requestNew().finally(() => {
      this.#pending = undefined;
    });
    return await this.#pending;
  }

  async #requestNew(): Promise<AccessToken> {
    const { options, env, tls, proxies, answerMs } = this.#options;
    const version = this.#version;
    const identity = await readIdentity(options, env);
    this.#identity = identity;
    // Secrets are sent to no server without a certificate, whatever the plan says of the store's.
    const web = { tls: { ...tls, rejectUnauthorized: true }, proxies, answerMs, signal: this.#closing.signal };
    const request = () => requestToken(identity.credentials, Date.now() + this.#clockOffsetMs, web);
    const token = await request().catch((error: unknown) => {
      if (!this.#correctClock(error)) throw error;
      return request();
    });
    if (version !== this.#version) return token;
    this.#token = token;
    const life = token.expiresAt - Date.now();
    this.#renewAt = token.expiresAt - Math.min(EARLY_MS, life / 2);
    return token;
  }

  /** Claims are signed for the server's time where this machine's clock is off. */
  #correctClock(error: unknown): boolean {
    if (!(error instanceof NoToken) || !isOfClock(error)) return false;
    const offset = Date.parse(error.date ?? '') - Date.now();
    if (!(Math.abs(offset - this.#clockOffsetMs) > SKEW_MS)) return false;
    this.#clockOffsetMs = offset;
    return true;
  }
}

/** Whether claims were refused for their times. */
export function isOfClock({ code, description }: NoToken): boolean {
  return code === 'invalid_grant' && /\biat\b|\bexp\b|timeframe|short-lived|expired in the future/i.test(description);
}

/** Equal for the same credentials. */
function fingerprint({ credentials }: Identity): string {
  const key = credentials.kind === 'service-account' ? credentials.key.export({ format: 'pem', type: 'pkcs8' }) : '';
  return JSON.stringify([credentials, key]);
}
