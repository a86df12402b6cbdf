// One start of the program within a run, with its blow, bounded in time.
import { setTimeout as delay } from 'node:timers/promises';
import type { Phase } from '../../../src/progress.ts';
import { processesWith, survivorsOf } from '../../../test/helpers/processes.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import type { WatchedEnd, WatchedRestore } from '../../../test/helpers/watched-restore.ts';
import type { Blow, Drawn } from './draw.ts';
import { startWith } from './output.ts';

/** No attempt may take longer: a stall of the source costs 30 s, a source that is gone 60 s. */
export const ATTEMPT_LIMIT_MS = 120_000;
/** From a signal to the end (design section 8), and what a loaded machine may add to it. */
const CANCEL_LIMIT_MS = 10_000 + 5_000;

export interface AttemptOptions {
  readonly plan: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly blow: Blow | undefined;
  readonly output: Drawn['output'];
  /** Done once when a phase begins. */
  readonly onPhase: { readonly phase: Phase; readonly act: () => unknown } | undefined;
}

export interface AttemptEnd extends WatchedEnd {
  /** Whether stdout took nothing: the document is the report's then. */
  readonly resultLost: boolean;
  /** The signal that it was sent while it ran. */
  readonly struck: Blow['kind'] | undefined;
  /** What broke a promise already. */
  readonly broken: readonly string[];
  /** Last phase that was begun. */
  readonly phase: string | undefined;
}

export async function attempt(
  owner: Owner,
  { plan, args, env, blow, output, onPhase }: AttemptOptions,
): Promise<AttemptEnd> {
  const mark = { KDM_TEST_MARK: crypto.randomUUID() };
  const hangsUp = blow?.kind === 'hang-up';
  const { run, endOf, hangUp } = startWith(owner, { plan, args, env: { ...env, ...mark }, output, hangsUp });
  const done = new AbortController();
  const broken: string[] = [];
  if (onPhase !== undefined) void run.untilPhase(onPhase.phase).then(onPhase.act, () => {});
  const striking = blow === undefined ? Promise.resolve(undefined) : strike(run, blow, { done: done.signal, hangUp });
  const limit = delay(ATTEMPT_LIMIT_MS, undefined, { signal: done.signal }).then(
    () => {
      broken.push(`hang: still running after ${ATTEMPT_LIMIT_MS} ms`);
      for (const { pid } of processesWith(mark)) process.kill(pid, 'SIGKILL');
    },
    () => {},
  );
  const end = endOf(await run.end);
  const ended = performance.now();
  done.abort();
  await limit;
  const struck = await striking;
  if (struck !== undefined && ended - struck.at > CANCEL_LIMIT_MS) {
    broken.push(`slow to stop: ${Math.round(ended - struck.at)} ms after ${blow?.kind}`);
  }
  const left = await survivorsOf(mark);
  for (const { pid, command } of left) {
    broken.push(`survivor: ${command}`);
    process.kill(pid, 'SIGKILL');
  }
  const phase = run.lines.findLast(({ event }) => event === 'phase-started')?.phase;
  return { ...end, struck: struck === undefined ? undefined : blow?.kind, broken, phase };
}

/** When it was struck; undefined when it had ended before. */
async function strike(
  run: WatchedRestore,
  blow: Blow,
  { done, hangUp }: { readonly done: AbortSignal; readonly hangUp: () => Promise<void> },
): Promise<{ at: number } | undefined> {
  const { phase } = blow;
  try {
    if (phase !== undefined) await run.untilPhase(phase);
    if (blow.afterMs > 0) await delay(blow.afterMs, undefined, { signal: done });
  } catch {
    // It ended before the blow fell: that is its end.
    return undefined;
  }
  const { pid, exitCode, signalCode } = run.child;
  if (pid === undefined || exitCode !== null || signalCode !== null) return undefined;
  if (blow.kind === 'hang-up') await hangUp();
  else if (blow.kind === 'interrupt') process.kill(-pid, 'SIGINT');
  else run.child.kill(blow.kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
  return { at: performance.now() };
}
