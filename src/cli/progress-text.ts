// Progress as lines of text, for where no terminal is: a line when a phase begins, and one every ten seconds at most.
import type { ProgressEvent } from '../restore/progress.ts';
import { formatBytes, formatDuration } from '../units.ts';
import { isSaid } from './log.ts';
import type { ProgressOptions, ProgressView } from './progress.ts';
import type { RunningPhase } from './progress-state.ts';
import { ProgressState } from './progress-state.ts';
import { levelOf, progressText } from './progress-words.ts';

/** At most one line of bytes in this time. */
export const LINE_EVERY_MS = 10_000;

export function textProgress({ stderr, now, level, phases }: ProgressOptions): ProgressView {
  const state = new ProgressState();
  const mayTell = throttle();
  const write = (line: string): void => void stderr.write(`${line}\n`);
  return {
    report(event) {
      const at = now();
      state.add(event, at);
      const ended = event.type === 'phase-finished' ? state.finish(event) : undefined;
      if (!isSaid(levelOf(event), level)) return;
      if (isPhaseEvent(event)) {
        const line = phases ? phaseLine(event, state, ended, at, mayTell) : undefined;
        if (line !== undefined) write(line);
        return;
      }
      if (event.type === 'retry' && !isSaid('debug', level) && !mayTell('retry', at)) return;
      write(eventLine(event, state.retries));
    },
    close() {},
  };
}

export type PhaseEvent = Extract<ProgressEvent, { type: 'phase-started' | 'bytes' | 'phase-finished' }>;

export function isPhaseEvent(event: ProgressEvent): event is PhaseEvent {
  return event.type === 'phase-started' || event.type === 'bytes' || event.type === 'phase-finished';
}

function phaseLine(
  event: PhaseEvent,
  state: ProgressState,
  ended: RunningPhase | undefined,
  now: number,
  mayTell: (what: string, now: number) => boolean,
): string | undefined {
  const head = event.pvc === undefined ? event.phase : `${event.pvc}: ${event.phase}`;
  if (event.type === 'phase-started') {
    mayTell('bytes', now);
    const total = event.total === undefined ? '' : ` ${formatBytes(event.total)}`;
    return `${head}${total}${event.detail === undefined ? '' : ` (${event.detail})`}`;
  }
  if (event.type === 'bytes') {
    const running = state.find(event);
    return running !== undefined && mayTell('bytes', now) ? `${head} ${progressText(running, now)}` : undefined;
  }
  // A short phase needs no second line.
  if (event.seconds * 1000 < LINE_EVERY_MS) return undefined;
  const mean =
    ended === undefined || ended.done === 0 ? '' : `, ${formatBytes(Math.round(ended.done / event.seconds))}/s`;
  return `${head} took ${formatDuration(event.seconds)}${mean}`;
}

/** The line for anything but a phase; the live view tells these too, above itself. */
export function eventLine(event: Exclude<ProgressEvent, PhaseEvent>, retries: number): string {
  if (event.type === 'pvc-started') {
    const layers = event.layers === 1 ? '1 layer' : `${event.layers} layers`;
    const place = `${event.pvc} (${event.index} of ${event.count})`;
    return `${place}: ${layers}, ${formatBytes(event.virtualSize)}, onto ${event.target}`;
  }
  if (event.type === 'pvc-finished') {
    return `${event.pvc} (${event.index} of ${event.count}): ${event.state} after ${formatDuration(event.seconds)}`;
  }
  if (event.type === 'retry') {
    const place = event.offset === undefined ? event.key : `${event.key} at ${event.offset}`;
    const wait = formatDuration(event.waitMs / 1000);
    return `retry ${event.attempt} of ${place} in ${wait}: ${event.reason} (${retries} so far)`;
  }
  const about = event.pvc === undefined ? '' : `${event.pvc}: `;
  return event.type === 'warning' ? `warning: ${about}${event.message}` : `${about}${event.message}`;
}

/** Says whether a kind of line may be told now; then not again for ten seconds. */
export function throttle(): (what: string, now: number) => boolean {
  const last = new Map<string, number>();
  return (what, now) => {
    if (now - (last.get(what) ?? Number.NEGATIVE_INFINITY) < LINE_EVERY_MS) return false;
    last.set(what, now);
    return true;
  };
}
