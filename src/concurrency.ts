// Bounded work under one AbortSignal: the first failure stops the siblings, and all are awaited before returning.
import { setTimeout as delay } from 'node:timers/promises';
import pLimit from 'p-limit';

export interface BoundedOptions {
  /** How many run at the same time, ≥ 1. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/**
 * Runs `work` on every item, at most `limit` at a time, in the items' order of beginning. The first failure aborts the
 * signal that the others were given; nothing queued is begun after it. Rejects with that first failure, or with the
 * signal's reason, and only after every begun piece has ended.
 */
export async function runBounded<T>(
  items: Iterable<T>,
  { limit, signal }: BoundedOptions,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  const siblings = new AbortController();
  const inner = AbortSignal.any([signal, siblings.signal]);
  const limited = pLimit(limit);
  let failure: { readonly error: unknown } | undefined;
  const tasks = Array.from(items, (item) =>
    limited(async () => {
      if (inner.aborted) return;
      try {
        await work(item, inner);
      } catch (error) {
        failure ??= { error };
        siblings.abort(error);
      }
    }),
  );
  await Promise.all(tasks);
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}

/** As `runBounded`, collecting each item's result in the items' order. */
export async function mapBounded<T, R>(
  items: readonly T[],
  options: BoundedOptions,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  await runBounded(items.entries(), options, async ([index, item], signal) => {
    results[index] = await work(item, signal);
  });
  return results;
}

/** Waits `ms` milliseconds; rejects with the signal's reason as soon as it is aborted. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * What `pending` gives, or the signal's reason as soon as it is aborted. `pending` is not cancelled: it runs on, for others
 * that wait for it, or to an end that concerns no one.
 */
export function abortable<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    pending.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}

/**
 * Runs `work` while `other` runs, whose outcome `work` may wait for. Settles as `work` does, and only when both have ended: what is left
 * of `other` then is aborted.
 */
export async function beside<T, R>(
  signal: AbortSignal,
  other: (signal: AbortSignal) => Promise<T>,
  work: (other: Promise<T>) => Promise<R>,
): Promise<R> {
  const ending = new AbortController();
  const running = other(AbortSignal.any([signal, ending.signal]));
  const ended = running.then(
    () => {},
    () => {},
  );
  try {
    return await work(running);
  } finally {
    ending.abort();
    await ended;
  }
}

/** Lets so many work at a time, first come, first served. None of them may wait for another. */
export class Gate {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#inside += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside -= 1;
      else next();
    }
  }
}
