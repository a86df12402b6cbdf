// Progress as lines of text, for where no terminal is: a line when a phase begins, and one every ten seconds at most.
import type { ProgressEvent } from '../../progress.ts';
import { formatBytes, formatDuration } from '../../units.ts';
import { isSaid } from '../session/log.ts';
import { printableLine } from '../session/printable.ts';
import type { ProgressOptions, ProgressView } from './progress.ts';
import type { RunningPhase } from './state.ts';
import { ProgressState } from './state.ts';
import { LINE_EVERY_MS, Throttle } from './throttle.ts';
import { levelOf, progressText } from './words.ts';

export function textProgress({ stderr, now, level, phases }: ProgressOptions): ProgressView {
  const state = new ProgressState();
  const throttle = new Throttle();
  const write = (line: string): void => void stderr.write(`${printableLine(line)}\n`);
  return {
    report(event) {
      const at = now();
      state.add(event, at);
      if (event.type === 'fetched') return;
      const ended = event.type === 'phase-finished' ? state.finish(event) : undefined;
      if (!isSaid(levelOf(event), level)) return;
      if (isPhaseEvent(event)) {
        const line = phases ? phaseLine(event, { state, ended, now: at, throttle }) : undefined;
        if (line !== undefined) write(line);
        return;
      }
      if (event.type === 'retry' && !isSaid('debug', level) && !throttle.mayTell('retry', at)) return;
      write(eventLine(event, state.retries));
    },
    close() {},
  };
}

export type PhaseEvent = Extract<ProgressEvent, { type: 'phase-started' | 'bytes' | 'phase-finished' }>;

export function isPhaseEvent(event: ProgressEvent): event is PhaseEvent {
  return event.type === 'phase-started' || event.type === 'bytes' || event.type === 'phase-finished';
}

/** What is told in a line of its own. */
export type ToldEvent = Exclude<ProgressEvent, PhaseEvent | { type: 'fetched' }>;

interface Around {
  readonly state: ProgressState;
  /** The phase that the event ended. */
  readonly ended: RunningPhase | undefined;
  readonly now: number;
  readonly throttle: Throttle;
}

function phaseLine(event: PhaseEvent, { state, ended, now, throttle }: Around): string | undefined {
  const head = event.pvc === undefined ? event.phase : `${event.pvc}: ${event.phase}`;
  if (event.type === 'phase-started') {
    throttle.tell('bytes', now);
    const total = event.total === undefined || event.total === 0 ? '' : ` ${formatBytes(event.total)}`;
    return `${head}${total}${event.detail === undefined ? '' : ` (${event.detail})`}`;
  }
  if (event.type === 'bytes') {
    const running = state.find(event);
    return running !== undefined && throttle.mayTell('bytes', now)
      ? `${head} ${progressText(running, now)}`
      : undefined;
  }
  // A short phase needs no second line.
  if (event.seconds * 1000 < LINE_EVERY_MS) return undefined;
  const mean =
    ended === undefined || ended.done === 0 ? '' : `, ${formatBytes(Math.round(ended.done / event.seconds))}/s`;
  return `${head} took ${formatDuration(event.seconds)}${mean}`;
}

/** The line for anything but a phase; the live view tells these too, above itself. */
export function eventLine(event: ToldEvent, retries: number): string {
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
