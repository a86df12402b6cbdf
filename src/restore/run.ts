// What every step of one run shares, and the bookkeeping of its phases.

import type { Tally } from '../chain/tally.ts';
import { type Phase, secondsSince } from '../progress.ts';
import type { WorkFolder } from '../scratch/work-folder.ts';
import type { ObjectStore } from '../store/store.ts';
import type { RestoreOptions } from './options.ts';

export interface Run {
  readonly options: RestoreOptions;
  readonly store: ObjectStore;
  readonly planId: string;
  /** Random, of this run alone: part of the claim. */
  readonly runId: string;
  readonly folder: WorkFolder;
  readonly signal: AbortSignal;
}

/** Runs one phase of a PVC: told when it begins and ends. Gives its result and its seconds. */
export async function runPhase<T>(
  { options: { progress } }: { readonly options: Pick<RestoreOptions, 'progress'> },
  { pvc, phase, total }: { readonly pvc: string; readonly phase: Phase; readonly total?: number },
  work: (onBytes: (done: number, total: number) => void) => Promise<T>,
): Promise<{ readonly value: T; readonly seconds: number }> {
  const began = performance.now();
  progress.report({ type: 'phase-started', pvc, phase, ...(total === undefined ? {} : { total }) });
  const value = await work((done, all) => progress.report({ type: 'bytes', pvc, phase, done, total: all }));
  const seconds = secondsSince(began);
  progress.report({ type: 'phase-finished', pvc, phase, seconds });
  return { value, seconds };
}

/** What counts and tells the bytes of a PVC's layers that come from the source. */
export function fetchedCounter(
  { options: { progress } }: Pick<Run, 'options'>,
  { pvc, tally }: { readonly pvc: string; readonly tally: Tally },
): (count: number) => void {
  return (count) => {
    tally.bytesFetched += count;
    progress.report({ type: 'fetched', pvc, count });
  };
}
