// What every way of showing progress has in common: the interface, its options, and how events are grouped.
import type { Progress, ProgressEvent } from '../../progress.ts';
import type { TextStream } from '../session/context.ts';
import type { LogLevel } from '../session/global-flags.ts';

export interface ProgressView extends Progress {
  /** Leaves the terminal as it was. */
  close(): void;
}

export interface ProgressOptions {
  readonly stderr: TextStream;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly level: LogLevel;
  /** Tell of phases and bytes, not of warnings and PVCs alone. */
  readonly phases: boolean;
  readonly colour: boolean;
}

export type PhaseEvent = Extract<ProgressEvent, { type: 'phase-started' | 'bytes' | 'phase-finished' }>;

export function isPhaseEvent(event: ProgressEvent): event is PhaseEvent {
  return event.type === 'phase-started' || event.type === 'bytes' || event.type === 'phase-finished';
}

/** What is told in a line of its own. */
export type ToldEvent = Exclude<ProgressEvent, PhaseEvent | { type: 'fetched' }>;
