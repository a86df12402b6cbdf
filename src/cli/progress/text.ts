// Progress as lines of text, for where no terminal is: a line when a phase begins, and one every ten seconds at most.
import { formatBytes, formatDuration } from '../../units.ts';
import { isLogged } from '../session/log.ts';
import { printableLine } from '../session/printable.ts';
import { ProgressState, type RunningPhase } from './state.ts';
import { LINE_EVERY_MS, Throttle } from './throttle.ts';
import { isPhaseEvent, type PhaseEvent, type ProgressOptions, type ProgressView } from './view.ts';
import { eventLine, levelOf, progressText } from './words.ts';

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
      if (!isLogged(levelOf(event), level)) return;
      if (isPhaseEvent(event)) {
        const line = phases ? phaseLine(event, { state, ended, now: at, throttle }) : undefined;
        if (line !== undefined) write(line);
        return;
      }
      if (event.type === 'retry' && !isLogged('debug', level) && !throttle.shouldLog('retry', at)) return;
      write(eventLine(event, state.retries));
    },
    close() {},
  };
}

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
    throttle.markLogged('bytes', now);
    const total = event.total === undefined || event.total === 0 ? '' : ` ${formatBytes(event.total)}`;
    return `${head}${total}${event.detail === undefined ? '' : ` (${event.detail})`}`;
  }
  if (event.type === 'bytes') {
    const running = state.find(event);
    return running !== undefined && throttle.shouldLog('bytes', now)
      ? `${head} ${progressText(running, now)}`
      : undefined;
  }
  // A short phase needs no second line.
  if (event.seconds * 1000 < LINE_EVERY_MS) return undefined;
  const done = ended === undefined ? 0 : ended.done - (ended.before ?? 0);
  const mean = done === 0 ? '' : `, ${formatBytes(Math.round(done / event.seconds))}/s`;
  return `${head} took ${formatDuration(event.seconds)}${mean}`;
}
