// Sends ranged GETs past the SDK's middleware, as far as that is possible.
import type { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { Answer, Receiver } from '../http/exchange.ts';
import { PreparedGet, type RangedGet } from './prepared-get.ts';
import type { Signing } from './signing.ts';
import type { S3Transport } from './transport.ts';

export interface RangedGetsOptions {
  readonly client: S3Client;
  readonly transport: S3Transport;
  readonly signing: Signing;
  /** A GET of the complete object. */
  readonly command: (key: string) => GetObjectCommand;
}

/** Prepared requests kept: a chain has fewer layers. */
const KEPT = 1024;

export class RangedGets {
  readonly #options: RangedGetsOptions;
  readonly #prepared = new Map<string, Promise<PreparedGet | undefined>>();
  #version = 0;

  constructor(options: RangedGetsOptions) {
    this.#options = options;
  }

  /**
   * The answer, whatever its status, its body in the receiver's sink if that gave one. Undefined where nothing was sent: the request
   * must go through the SDK. Rejects as `PreparedGet` and the connections.
   */
  async send(key: string, get: RangedGet, receiver: Receiver, signal: AbortSignal): Promise<Answer | undefined> {
    const prepared = await this.#prepare(key);
    const request = await prepared?.sign(get);
    const { transport } = this.#options;
    if (request === undefined || !transport.isDirect(request)) return undefined;
    return await transport.exchange(request, receiver, signal);
  }

  #prepare(key: string): Promise<PreparedGet | undefined> {
    const { client, signing, command } = this.#options;
    // Another region may be at another address.
    if (this.#version !== signing.version || this.#prepared.size >= KEPT) this.#prepared.clear();
    this.#version = signing.version;
    const known = this.#prepared.get(key);
    if (known !== undefined) return known;
    const prepared = PreparedGet.from(client, command(key));
    this.#prepared.set(key, prepared);
    // Keys may be there at the next attempt.
    prepared.catch(() => {
      if (this.#prepared.get(key) === prepared) this.#prepared.delete(key);
    });
    return prepared;
  }
}
