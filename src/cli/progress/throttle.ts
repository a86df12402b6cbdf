// Lines that may come often are told once in ten seconds.

/** At most one line of a kind in this time. */
export const LINE_EVERY_MS = 10_000;

export class Throttle {
  readonly #told = new Map<string, number>();

  /** May a line of this kind be told at `now`? If so it counts as told. */
  mayTell(kind: string, now: number): boolean {
    if (now - (this.#told.get(kind) ?? Number.NEGATIVE_INFINITY) < LINE_EVERY_MS) return false;
    this.tell(kind, now);
    return true;
  }

  /** Something that makes a line of this kind needless was told. */
  tell(kind: string, now: number): void {
    this.#told.set(kind, now);
  }
}
