// Lines that may come often are told once in ten seconds.

/** At most one line of a kind in this time. */
export const LINE_EVERY_MS = 10_000;

export class Throttle {
  readonly #loggedAt = new Map<string, number>();

  /** May a line of this kind be told at `now`? If so it counts as told. */
  shouldLog(kind: string, now: number): boolean {
    if (now - (this.#loggedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < LINE_EVERY_MS) return false;
    this.markLogged(kind, now);
    return true;
  }

  /** Something that makes a line of this kind needless was told. */
  markLogged(kind: string, now: number): void {
    this.#loggedAt.set(kind, now);
  }
}
