// New keys in place of a session token that has expired: once for all requests that were signed with it.
import type { S3Client } from '@aws-sdk/client-s3';

export class KeyRenewal {
  readonly #client: S3Client;
  #renewals = 0;
  #renewing: Promise<boolean> | undefined;

  constructor(client: S3Client) {
    this.#client = client;
  }

  /** Which keys a request that starts now is signed with: grows whenever they were renewed. */
  get keys(): number {
    return this.#renewals;
  }

  /** True when there are other keys than those; rejects as whatever provides them. */
  async renewed(keys: number): Promise<boolean> {
    if (keys !== this.#renewals) return true;
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
    if (others) this.#renewals += 1;
    return others;
  }
}
