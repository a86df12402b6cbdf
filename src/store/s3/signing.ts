// What requests are signed for: the region and the time that the server names in a refusal take the place of those of this machine.
import type { S3Client } from '@aws-sdk/client-s3';
import { errorAnswerOf, regionOf } from './answer.ts';

/** What requests are signed with and for; shared by all that may change it. */
export interface Signing {
  /** Grows whenever keys, region or clock were corrected. */
  version: number;
}

export class SigningCorrection {
  readonly #client: S3Client;
  readonly #signing: Signing;
  #region: string;
  #regionChanged = false;
  #clockCorrected = false;

  constructor(client: S3Client, region: string, signing: Signing) {
    this.#client = client;
    this.#region = region;
    this.#signing = signing;
  }

  /** What requests are signed for now. */
  get region(): string {
    return this.#region;
  }

  /**
   * Why a request that was refused is to be signed again: the answer names the region, or the server's clock, and requests
   * are signed for these from now on. Undefined when that would change nothing. `version`: what the request was signed with.
   */
  after(error: unknown, version: number): string | undefined {
    const answer = errorAnswerOf(error);
    if (answer === undefined) return undefined;
    const region = regionOf(answer);
    if (region !== undefined && this.#changeRegion(region)) return `the bucket is in region ${region}: signing for it`;
    // SigV4 is refused for a clock that is 15 min off, and few servers say that this was the reason.
    if (answer.skewCorrected && answer.status === 403 && !this.#clockCorrected) {
      this.#clockCorrected = true;
      this.#signing.version += 1;
      return "this machine's clock is off: signing for the time of the server";
    }
    const outdated = version !== this.#signing.version && (region !== undefined || answer.status === 403);
    return outdated ? 'the request was signed before region or clock were known' : undefined;
  }

  /** False when it is the one already signed for, or a second one: servers that disagree would never end. */
  #changeRegion(region: string): boolean {
    if (region === this.#region || this.#regionChanged) return false;
    this.#region = region;
    this.#regionChanged = true;
    this.#signing.version += 1;
    this.#client.config.region = () => Promise.resolve(region);
    return true;
  }
}
