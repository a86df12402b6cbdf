// Sends GETs past the SDK's middleware, as far as that is possible.
import type { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { Answer, Receiver } from '../http/exchange.ts';
import { type DirectGet, PreparedGet, SOME_KEY } from './prepared-get.ts';
import type { Signing } from './signing.ts';
import type { S3Transport } from './transport.ts';

export interface DirectGetsOptions {
  readonly client: S3Client;
  readonly transport: S3Transport;
  readonly signing: Signing;
  /** A GET of a complete object. */
  readonly command: (key: string) => GetObjectCommand;
}

interface Preparation {
  /** What the request was built for: another region may be at another address. */
  readonly version: number;
  readonly get: Promise<PreparedGet | undefined>;
}

export class DirectGets {
  readonly #options: DirectGetsOptions;
  #prepared: Preparation | undefined;

  constructor(options: DirectGetsOptions) {
    this.#options = options;
  }

  /**
   * The answer, whatever its status, its body in the receiver's sink if that gave one. Undefined where nothing was sent: the request
   * must go through the SDK. Rejects as `PreparedGet` and the connections.
   */
  async send(get: DirectGet, receiver: Receiver, signal: AbortSignal): Promise<Answer | undefined> {
    const prepared = await this.#prepare();
    const request = await prepared?.sign(get);
    const { transport } = this.#options;
    if (request === undefined || !transport.isDirect(request)) return undefined;
    return await transport.exchange(request, receiver, signal);
  }

  #prepare(): Promise<PreparedGet | undefined> {
    const { client, signing, command } = this.#options;
    const { version } = signing;
    if (this.#prepared?.version === version) return this.#prepared.get;
    const prepared = { version, get: PreparedGet.from(client, command(SOME_KEY)) };
    this.#prepared = prepared;
    // Credentials may be there at the next attempt.
    prepared.get.catch(() => {
      if (this.#prepared === prepared) this.#prepared = undefined;
    });
    return prepared.get;
  }
}
