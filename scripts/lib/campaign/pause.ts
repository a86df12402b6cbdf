// Stopped time: SIGSTOP for our process alone or for everything that a run has started, as a frozen container has it, then SIGCONT.
import { setTimeout as delay } from 'node:timers/promises';
import type { Phase } from '../../../src/progress.ts';
import { processesWith } from '../../../test/helpers/processes.ts';

export interface Pause {
  readonly of: 'process' | 'everything';
  /** Counted from 0. */
  readonly attempt: number;
  /** As a blow's. */
  readonly phase: Phase | undefined;
  readonly afterMs: number;
  readonly forMs: number;
}

export function drawPause(random: () => number, phases: readonly Phase[]): Pause {
  return {
    of: random() < 0.5 ? 'process' : 'everything',
    attempt: random() < 0.7 ? 0 : 1,
    phase: random() < 0.3 ? undefined : phases[Math.floor(random() * phases.length)],
    afterMs: Math.floor(random() * 300),
    forMs: 1000 + Math.floor(random() * 7000),
  };
}

export interface Paused {
  readonly pid: number;
  /** In the environment of everything that belongs to the run. */
  readonly mark: { readonly KDM_TEST_MARK: string };
  /** Aborted when the run has ended. */
  readonly done: AbortSignal;
}

/** Whether there was anything left to stop. */
export async function pauseFor({ of, forMs }: Pause, { pid, mark, done }: Paused): Promise<boolean> {
  if (!signal(pid, 'SIGSTOP')) return false;
  // What is stopped starts nothing more.
  const all = of === 'process' ? [pid] : [pid, ...processesWith(mark).map((found) => found.pid)];
  for (const one of all) signal(one, 'SIGSTOP');
  await delay(forMs, undefined, { signal: done }).catch(() => {});
  for (const one of all.reverse()) signal(one, 'SIGCONT');
  return true;
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    // It has ended.
    return false;
  }
}
