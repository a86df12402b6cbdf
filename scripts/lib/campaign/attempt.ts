// One start of the program within a run, with its blow, bounded in time.
import { setTimeout as delay } from 'node:timers/promises';
import type { Phase } from '../../../src/progress.ts';
import { processesWith, survivorsOf } from '../../../test/helpers/processes.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import type { WatchedRestore } from '../../../test/helpers/watched-restore.ts';
import type { Blow, Drawn } from './draw.ts';
import type { Limit } from './limit.ts';
import { type StartedEnd, startWith } from './output.ts';
import { type Pause, pauseFor } from './pause.ts';

/** No attempt may take longer: a stall of the source costs 30 s, a source that is gone 60 s. */
const ATTEMPT_LIMIT_MS = 120_000;
/** From a signal to the end (design section 8), and what a loaded machine may add to it. */
const CANCEL_LIMIT_MS = 10_000 + 5_000;

export interface AttemptOptions {
  readonly plan: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly blow: Blow | undefined;
  readonly output: Drawn['output'];
  readonly limit: Limit | undefined;
  readonly pause: Pause | undefined;
  /** Done once when a phase begins. */
  readonly onPhase: { readonly phase: Phase; readonly act: () => unknown } | undefined;
}

export interface AttemptEnd extends StartedEnd {
  /** The signal that it was sent while it ran. */
  readonly struck: Blow['kind'] | undefined;
  /** Whether it was stopped for a while. */
  readonly paused: boolean;
  /** What broke a promise already. */
  readonly broken: readonly string[];
  /** Last phase that was begun. */
  readonly phase: string | undefined;
}

export async function attempt(
  owner: Owner,
  { plan, args, env, blow, output, limit, pause, onPhase }: AttemptOptions,
): Promise<AttemptEnd> {
  const mark = { KDM_TEST_MARK: crypto.randomUUID() };
  const hangsUp = blow?.kind === 'hang-up';
  const { run, endOf, hangUp } = startWith(owner, { plan, args, env: { ...env, ...mark }, output, hangsUp, limit });
  const done = new AbortController();
  const broken: string[] = [];
  if (onPhase !== undefined) void run.untilPhase(onPhase.phase).then(onPhase.act, () => {});
  const striking = blow === undefined ? Promise.resolve(undefined) : strike(run, blow, { done: done.signal, hangUp });
  // A terminal's helper is the child there, not the program.
  const pausing =
    pause === undefined || hangsUp ? Promise.resolve(false) : stopFor(run, pause, { mark, done: done.signal });
  const limitMs = ATTEMPT_LIMIT_MS + (pause?.forMs ?? 0);
  const ending = delay(limitMs, undefined, { signal: done.signal }).then(
    () => {
      broken.push(`hang: still running after ${limitMs} ms`);
      for (const { pid } of processesWith(mark)) process.kill(pid, 'SIGKILL');
    },
    () => {},
  );
  const end = endOf(await run.end);
  const ended = performance.now();
  done.abort();
  await ending;
  const [struck, paused] = await Promise.all([striking, pausing]);
  if (struck !== undefined && ended - struck.at > CANCEL_LIMIT_MS + (pause?.forMs ?? 0)) {
    broken.push(`slow to stop: ${Math.round(ended - struck.at)} ms after ${blow?.kind}`);
  }
  const left = await survivorsOf(mark);
  for (const { pid, command } of left) {
    broken.push(`survivor: ${command}`);
    process.kill(pid, 'SIGKILL');
  }
  const phase = run.lines.findLast(({ event }) => event === 'phase-started')?.phase;
  const kind = struck === undefined ? undefined : blow?.kind;
  return { ...end, block: paused ? undefined : end.block, struck: kind, paused, broken, phase };
}

/** Whether it was stopped. */
async function stopFor(
  run: WatchedRestore,
  pause: Pause,
  { mark, done }: { readonly mark: { readonly KDM_TEST_MARK: string }; readonly done: AbortSignal },
): Promise<boolean> {
  const { pid } = run.child;
  if (pid === undefined || !(await comesTo(run, pause, done))) return false;
  return await pauseFor(pause, { pid, mark, done });
}

/** Waits for a moment of the run; false when the run ended before. */
async function comesTo(
  run: WatchedRestore,
  { phase, afterMs }: Pick<Blow, 'phase' | 'afterMs'>,
  done: AbortSignal,
): Promise<boolean> {
  try {
    if (phase !== undefined) await run.untilPhase(phase);
    if (afterMs > 0) await delay(afterMs, undefined, { signal: done });
  } catch {
    // That end is the run's own.
    return false;
  }
  const { exitCode, signalCode } = run.child;
  return exitCode === null && signalCode === null;
}

/** When it was struck; undefined when it had ended before. */
async function strike(
  run: WatchedRestore,
  blow: Blow,
  { done, hangUp }: { readonly done: AbortSignal; readonly hangUp: () => Promise<void> },
): Promise<{ at: number } | undefined> {
  const { pid } = run.child;
  if (pid === undefined || !(await comesTo(run, blow, done))) return undefined;
  if (blow.kind === 'hang-up') await hangUp();
  else if (blow.kind === 'interrupt') process.kill(-pid, 'SIGINT');
  else run.child.kill(blow.kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
  return { at: performance.now() };
}
