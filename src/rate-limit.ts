// A limit of bytes per second that many readers share. Time that nobody used is not made up for later.
import { sleep } from './concurrency.ts';

export interface Clock {
  /** Milliseconds, from any origin. */
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

const CLOCK: Clock = { now: () => performance.now(), sleep };

export class RateLimit {
  /** Bytes per second. */
  readonly rate: number;
  readonly #clock: Clock;
  #free = 0;

  constructor(rate: number, clock: Clock = CLOCK) {
    this.rate = rate;
    this.#clock = clock;
  }

  /**
   * Resolves when `bytes` more may have passed: in any span of time no more passes than the rate allows, and what is taken in
   * one piece. Rejects with the signal's reason.
   */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.now();
    this.#free = Math.max(now, this.#free) + (bytes / this.rate) * 1000;
    const wait = this.#free - now;
    if (wait >= 1) await this.#clock.sleep(wait, signal);
  }
}
