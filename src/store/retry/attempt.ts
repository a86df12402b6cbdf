// One attempt of a request, and the watch over it: given up when no byte comes, but only while bytes are waited for.
import { AwakeTimer, awakeNow } from '../../awake.ts';
import { formatDuration } from '../../units.ts';
import { type RetryPolicy, retryDeadlineMs, type SourceState, stallTimeout, TransientError } from './policy.ts';

export interface AttemptOptions {
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  /** When the last new byte of the request came, or when it started; as `awakeNow()`. */
  readonly lastProgressAt: number;
  /** Attempts before it, in a row, that brought no new byte. */
  readonly failures: number;
  readonly signal: AbortSignal;
}

export class Attempt {
  readonly #controller = new AbortController();
  readonly #options: AttemptOptions;
  #timer: AwakeTimer | undefined;
  /** Of the timer, in milliseconds. */
  #armed = { ms: 0, stallMs: 0 };
  #ended = false;
  #progressedAt: number | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', this.#onAbort);
    this.#arm();
  }

  /** Aborted with the caller's reason, or with a `TransientError` when it stalled. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** When the last new byte came or the sink last let go, as `awakeNow()`; undefined when there was none. */
  get progressedAt(): number | undefined {
    return this.#progressedAt;
  }

  /** The source answered; the body is still to come. */
  answered(): void {
    this.#options.source.answered = true;
    if (this.#progressedAt === undefined) this.#arm();
  }

  /** A new byte came. */
  progress(): void {
    if (this.#ended) return;
    const first = this.#progressedAt === undefined;
    this.#progressedAt = awakeNow();
    if (first) this.#arm();
    else this.#timer?.refresh();
  }

  /** A byte came, but one that an attempt before had brought already: the source is alive, the request no further. */
  repeated(): void {
    this.#arm();
  }

  /** The sink is busy: no byte is waited for. */
  pause(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  resume(): void {
    if (this.signal.aborted) return;
    this.#progressedAt = awakeNow();
    this.#arm();
  }

  /** Must be called on every path. */
  end(): void {
    this.#ended = true;
    this.#timer?.clear();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }

  readonly #onAbort = (): void => {
    this.#controller.abort(this.#options.signal.reason);
  };

  #arm(): void {
    // Told late, by what outlived the attempt: a timer now would be nobody's.
    if (this.#ended) return;
    const { policy, source, lastProgressAt } = this.#options;
    const left = (this.#progressedAt ?? lastProgressAt) + retryDeadlineMs(policy, source) - awakeNow();
    const failures = this.#progressedAt === undefined ? this.#options.failures : 0;
    const stallMs = stallTimeout(policy, source, { failures, left });
    const ms = Math.max(1, Math.min(stallMs, left));
    if (this.#timer !== undefined && this.#armed.ms === ms && this.#armed.stallMs === stallMs) {
      this.#timer.refresh();
      return;
    }
    this.#timer?.clear();
    this.#armed = { ms, stallMs };
    this.#timer = new AwakeTimer(ms, () => {
      const pastDeadline = ms < stallMs;
      this.#controller.abort(new TransientError(`no byte for ${formatDuration(ms / 1000)}`, { pastDeadline }));
    });
  }
}
