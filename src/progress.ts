// What the engine tells while it works; the command line renders it (text, JSON lines, metrics).
import type { KeptFrom, PvcState } from './pvc-state.ts';

export type Phase =
  | 'preflight'
  | 'download'
  | 'checksum'
  | 'rebase'
  | 'check-image'
  | 'flatten'
  | 'copy'
  | 'convert'
  | 'finalize'
  | 'verify'
  | 'hash';

/** Seconds that each phase of one PVC took; of those phases that ran, and no others. */
export type PhaseSeconds = Partial<Record<Phase, number>>;

export type ProgressEvent =
  /** A PVC begins; `index` counts from 1. */
  | {
      readonly type: 'pvc-started';
      readonly pvc: string;
      readonly index: number;
      readonly count: number;
      readonly target: string;
      readonly layers: number;
      readonly virtualSize: number;
    }
  /** A phase begins. `total` in bytes where it is known. */
  | {
      readonly type: 'phase-started';
      readonly pvc?: string;
      readonly phase: Phase;
      readonly total?: number;
      readonly detail?: string;
    }
  /** Bytes of the running phase that are done, of `total`; not decreasing within one phase. */
  | {
      readonly type: 'bytes';
      readonly pvc?: string;
      readonly phase: Phase;
      readonly done: number;
      readonly total: number;
    }
  /** Bytes of layers that just came from the source, in whatever phase; not those that an earlier run had fetched. */
  | { readonly type: 'fetched'; readonly pvc: string; readonly count: number }
  | { readonly type: 'phase-finished'; readonly pvc?: string; readonly phase: Phase; readonly seconds: number }
  | ({ readonly type: 'retry' } & RetryEvent)
  | { readonly type: 'warning'; readonly pvc?: string; readonly message: string }
  | { readonly type: 'info'; readonly pvc?: string; readonly message: string }
  | {
      readonly type: 'pvc-finished';
      readonly pvc: string;
      readonly index: number;
      readonly count: number;
      readonly state: PvcState;
      /** As in the result. */
      readonly verified: boolean;
      readonly keptFrom?: KeptFrom;
      readonly seconds: number;
    };

export interface Progress {
  /** Must return at once and never throw. */
  report(event: ProgressEvent): void;
}

/** Says nothing. */
export const silentProgress: Progress = { report: () => {} };

export interface RetryEvent {
  readonly key: string;
  /** Where the request began, or undefined for one that is no ranged read. */
  readonly offset: number | undefined;
  /** 1 for the first retry. */
  readonly attempt: number;
  readonly waitMs: number;
  /** Why the attempt before failed; holds no credential. */
  readonly reason: string;
}
/** Seconds since `began` (of `performance.now()`), to the millisecond. */

export function secondsSince(began: number): number {
  return Math.round(performance.now() - began) / 1000;
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
  progress: Progress,
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
