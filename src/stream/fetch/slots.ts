// How many fetches are under way at a time, shared by all that fetch ahead.

/** Fetches that a reader waits for are never held back: they take a slot beyond the limit, and others wait longer. */
export class Slots {
  readonly #limit: number;
  readonly #onFree: (() => void)[] = [];
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

  /** Runs one fetch in a slot. */
  async run<T>(fetch: () => Promise<T>): Promise<T> {
    this.#taken += 1;
    try {
      return await fetch();
    } finally {
      this.#taken -= 1;
      for (const begin of [...this.#onFree]) begin();
    }
  }
}
