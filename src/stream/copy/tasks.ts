// Work that is started along the way: the first failure stops all of it, and nothing of it is left when it ends.

export class Tasks {
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #failure: { readonly error: unknown } | undefined;

  /**
   * Runs `work`, which may add tasks, and waits for all of them. Rejects with what failed first, or with the signal's reason,
   * and only when no task is running any more. The signal that `work` is given is aborted with the first failure.
   */
  static async run(signal: AbortSignal, work: (tasks: Tasks, signal: AbortSignal) => Promise<void>): Promise<void> {
    const tasks = new Tasks();
    const inner = AbortSignal.any([signal, tasks.#stop.signal]);
    tasks.add(work(tasks, inner));
    while (tasks.#running.size > 0) await Promise.all(tasks.#running);
    signal.throwIfAborted();
    if (tasks.#failure !== undefined) throw tasks.#failure.error;
  }

  /** Stops everything with this error, at once; a task that fails does so when it settles. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stop.abort(error);
  }

  add(task: Promise<void>): void {
    const done = task.catch((error: unknown) => this.fail(error)).finally(() => this.#running.delete(done));
    this.#running.add(done);
  }
}
