// Time during which this process ran. A process that was stopped (SIGSTOP, a frozen container, a paused virtual machine) wakes up with
// all its timers overdue, before it reads what arrived meanwhile: without this clock its own absence counts as another's silence.

/** How often the clock looks at itself. */
const TICK_MS = 500;

/** Longer between two looks than any delay of a busy machine: the process did not run. */
const GAP_MS = 1_500;

let ticker: NodeJS.Timeout | undefined;
let lookedAt = 0;
let asleep = 0;

/** Milliseconds during which this process did not run, as far as noticed. It grows with every gap and never shrinks. */
export function asleepMs(): number {
  look();
  return asleep;
}

/** As `performance.now()`, without the time during which this process did not run. */
export function awakeNow(): number {
  return look() - asleep;
}

/** A time limit in awake time: a gap restarts it, since who was waited for may have been stopped too, or cut off by the gap. */
export class AwakeTimer {
  readonly #timer: NodeJS.Timeout;
  #asleep = asleepMs();

  /** Calls `onTime` once after `ms` milliseconds; `ref: false` does not keep the process alive. */
  constructor(ms: number, onTime: () => void, { ref = true }: { readonly ref?: boolean } = {}) {
    this.#timer = setTimeout(() => {
      if (this.#asleep === asleepMs()) onTime();
      else this.refresh();
    }, ms);
    if (!ref) this.#timer.unref();
  }

  /** Starts the time over. */
  refresh(): void {
    this.#asleep = asleepMs();
    this.#timer.refresh();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

function look(): number {
  const now = performance.now();
  if (ticker === undefined) {
    // It must not keep the process alive.
    ticker = setInterval(look, TICK_MS).unref();
  } else if (now - lookedAt > GAP_MS) {
    // Some of it passes all the same: a machine that is always this late must not wait for ever.
    asleep += now - lookedAt - TICK_MS;
  }
  lookedAt = now;
  return now;
}
