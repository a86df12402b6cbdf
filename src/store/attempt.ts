// One attempt of a request, and the watch over it: given up when no byte comes, but only while bytes are waited for.
import { formatDuration } from '../units.ts';
import { type RetryPolicy, type SourceState, TransientError } from './policy.ts';

export interface AttemptOptions {
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  /** When the last new byte of the request came, or when it began; as `performance.now()`. */
  readonly quietSince: number;
  readonly signal: AbortSignal;
}

export class Attempt {
  readonly #controller = new AbortController();
  readonly #options: AttemptOptions;
  #timer: NodeJS.Timeout | undefined;
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

  /** When the last new byte came or the sink last let go, as `performance.now()`; undefined when there was none. */
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
    const first = this.#progressedAt === undefined;
    this.#progressedAt = performance.now();
    if (first) this.#arm();
    else this.#timer?.refresh();
  }

  /** The sink is busy: no byte is waited for. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  resume(): void {
    if (this.signal.aborted || this.#ended) return;
    this.#progressedAt = performance.now();
    this.#arm();
  }

  /** Must be called on every path. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }

  readonly #onAbort = (): void => {
    this.#controller.abort(this.#options.signal.reason);
  };

  #arm(): void {
    const { policy, source, quietSince } = this.#options;
    clearTimeout(this.#timer);
    const patience = source.answered ? policy.silentMs : policy.unansweredMs;
    const left = (this.#progressedAt ?? quietSince) + patience - performance.now();
    const ms = Math.max(1, Math.min(policy.stallMs, left));
    this.#timer = setTimeout(() => {
      const outOfPatience = ms < policy.stallMs;
      this.#controller.abort(new TransientError(`no byte for ${formatDuration(ms / 1000)}`, { outOfPatience }));
    }, ms);
  }
}
