// A bound on bytes that are under way: what does not fit waits its turn.

interface Waiter {
  readonly bytes: number;
  readonly admit: () => void;
}

/** First come, first served. */
export class ByteBudget {
  readonly #limit: number;
  readonly #waiting = new Set<Waiter>();
  #used = 0;

  /** `limit` in bytes, ≥ 1. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether somebody waits for bytes that others hold. */
  get contended(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Takes `bytes`, waiting until they fit; more than the limit fits when nothing else is taken, so nobody waits for ever
   * while the others give back. Rejects with the signal's reason when that is aborted while waiting; nothing is taken then.
   */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    if (this.#waiting.size === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return undefined;
    }
    return this.#wait(bytes, signal);
  }

  /** Gives back what `take` took. */
  give(bytes: number): void {
    this.#used -= bytes;
    this.#admit();
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#limit;
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (!this.#fits(waiter.bytes)) return;
      this.#waiting.delete(waiter);
      this.#used += waiter.bytes;
      waiter.admit();
    }
  }

  async #wait(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { bytes, admit: resolve };
    const leave = (): void => {
      // Admitted in the same turn: what was taken is given back by the one who took it, so this changes nothing.
      if (!this.#waiting.delete(waiter)) return;
      reject(signal.reason);
      this.#admit();
    };
    this.#waiting.add(waiter);
    signal.addEventListener('abort', leave);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }
}
