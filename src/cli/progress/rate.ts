// How fast bytes come in, over the last seconds: a mean over the whole phase would hide a stall.

/** How far back the window reaches. */
const WINDOW_MS = 10_000;
/** Samples nearer to each other than this are merged, so that the window holds 40 at most. */
const STEP_MS = 250;
/** Before this much time a rate is a guess. */
const MIN_SPAN_MS = 1_000;

interface Sample {
  readonly at: number;
  readonly done: number;
}

export class RateWindow {
  readonly #samples: Sample[] = [];

  /** `done` bytes were done at `at` milliseconds; neither goes back. */
  add(at: number, done: number): void {
    const before = this.#samples.at(-2);
    if (before !== undefined && at - before.at < STEP_MS) this.#samples.pop();
    this.#samples.push({ at, done });
    this.#forget(at);
  }

  /** Bytes a second at `now`; undefined while it is too early to say. */
  bytesPerSecond(now: number): number | undefined {
    this.#forget(now);
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || now - first.at < MIN_SPAN_MS) return undefined;
    return ((last.done - first.done) / (now - first.at)) * 1000;
  }

  /** Keeps one sample at or before the window's edge, the one to measure from. */
  #forget(now: number): void {
    while (this.#samples.length > 1 && (this.#samples[1]?.at ?? now) <= now - WINDOW_MS) this.#samples.shift();
  }
}
