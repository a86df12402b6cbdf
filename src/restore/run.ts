// What every step of one run shares, and the bookkeeping of its phases.

import type { Tally } from '../chain/tally.ts';
import { type Phase, type PhaseSeconds, secondsSince } from '../progress.ts';
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

export interface PhaseOptions {
  readonly pvc: string;
  readonly phase: Phase;
  /** Bytes, where they are known. */
  readonly total?: number;
  /** Where the phase's time is added, under its name; left out where no result lists it. */
  readonly seconds?: PhaseSeconds;
}

/** Runs one phase of a PVC and reports its start and end. Its time is recorded however it ends. */
export async function runPhase<T>(
  { options: { progress } }: { readonly options: Pick<RestoreOptions, 'progress'> },
  { pvc, phase, total, seconds }: PhaseOptions,
  work: (onBytes: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  const started = performance.now();
  progress.report({ type: 'phase-started', pvc, phase, ...(total === undefined ? {} : { total }) });
  try {
    const value = await work((done, all) => progress.report({ type: 'bytes', pvc, phase, done, total: all }));
    progress.report({ type: 'phase-finished', pvc, phase, seconds: secondsSince(started) });
    return value;
  } finally {
    if (seconds !== undefined) seconds[phase] = (seconds[phase] ?? 0) + (performance.now() - started) / 1000;
  }
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
