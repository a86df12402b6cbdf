// How many fetches are under way at a time, shared by all that fetch ahead.

/** Fetches that a reader waits for are never held back: they take a slot beyond the limit, and others wait longer. */
export class Slots {
  readonly #limit: number;
  readonly #onFree: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** `limit` ≥ 1. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a fetch that nobody waits for yet may begin. */
  get free(): boolean {
    return this.#taken < this.#limit;
  }

  /** `begin` is called whenever a slot became free; those that came first are asked first. */
  whenFree(begin: () => void): () => void {
    this.#onFree.push(begin);
    return () => {
      this.#onFree.splice(this.#onFree.indexOf(begin), 1);
    };
  }

  /**
   * Waits for a free slot, which the caller uses at once. Those that `whenFree` calls come first: they fetch tables, and
   * without these nobody knows what else to fetch. Rejects with the signal's reason.
   */
  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.free && this.#waiting.length === 0) return;
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal.reason);
      };
      const go = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      this.#waiting.push(go);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Runs one fetch in a slot. */
  async run<T>(fetch: () => Promise<T>): Promise<T> {
    this.#taken += 1;
    try {
      return await fetch();
    } finally {
      this.#taken -= 1;
      for (const begin of [...this.#onFree]) begin();
      if (this.free) this.#waiting.shift()?.();
    }
  }
}
