// How many of libuv's threads writes may occupy: file calls, DNS lookups and reads of a directory need some too.

/** What libuv starts when UV_THREADPOOL_SIZE says nothing, and the most that it starts. */
const DEFAULT_THREADS = 4;
const MAX_THREADS = 1024;

/** Never occupied by writes: a slow device must not delay the journal, a cancel or a name lookup. */
const KEPT_FREE = 4;

/** More writes at a time gain nothing on any device that was measured. */
const MAX_WRITES = 16;

/** Threads that libuv starts with its first work, at least 1. The launcher sets the variable: libuv reads it before any code of ours runs. */
export function poolThreads({ UV_THREADPOOL_SIZE: asked }: Readonly<NodeJS.ProcessEnv>): number {
  const parsed = Number.parseInt(asked ?? '', 10);
  return parsed >= 1 ? Math.min(parsed, MAX_THREADS) : DEFAULT_THREADS;
}

/** Writes at a time, at least 1. */
export function writesAtATime(env: Readonly<NodeJS.ProcessEnv>): number {
  return Math.min(Math.max(1, poolThreads(env) - KEPT_FREE), MAX_WRITES);
}
