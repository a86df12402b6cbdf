// New keys in place of a session token that has expired: once for all requests that were signed with it.
import type { S3Client } from '@aws-sdk/client-s3';
import type { Signing } from './signing.ts';

export class KeyRenewal {
  readonly #client: S3Client;
  readonly #signing: Signing;
  #renewing: Promise<boolean> | undefined;

  constructor(client: S3Client, signing: Signing) {
    this.#client = client;
    this.#signing = signing;
  }

  /** True when requests are no longer signed as in that version; rejects as whatever provides the keys. */
  async renewed(keys: number): Promise<boolean> {
    if (keys !== this.#signing.version) return true;
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return await this.#renewing;
  }

  /** True when asking again gave other keys. */
  async #renew(): Promise<boolean> {
    const { credentials } = this.#client.config;
    const before = await credentials();
    const after = await credentials({ forceRefresh: true });
    const others = before.accessKeyId !== after.accessKeyId || before.sessionToken !== after.sessionToken;
    if (others) this.#signing.version += 1;
    return others;
  }
}
