// Progress as JSON lines for log collectors. The event names are a promise; docs name each with its keys:
//   pvc-started    pvc, index, count, target, layers, virtualSize
//   phase-started  pvc?, phase, total?, detail?
//   progress       pvc?, phase, bytes, total, rate?, secondsLeft?, fetched?     (every ten seconds at most)
//   phase-finished pvc?, phase, bytes?, total?, fetched?, seconds
//   retry          key, offset?, attempt, waitSeconds, reason, retries
//   warning, note  pvc?, message
//   pvc-finished   pvc, index, count, state, verified, keptFrom?, seconds
// and from log.ts: error (pvc?, code, message, hint), cause (message). Each has time, level and event before these.
// Bytes are whole numbers, rate is bytes a second.
import type { ProgressEvent } from '../../progress.ts';
import { isLogged, jsonLine } from '../session/log.ts';
import { ProgressState, paceOf, type RunningPhase } from './state.ts';
import { Throttle } from './throttle.ts';
import { isPhaseEvent, type ProgressOptions, type ProgressView } from './view.ts';
import { levelOf } from './words.ts';

export function jsonProgress({ stderr, now, level, phases }: ProgressOptions): ProgressView {
  const state = new ProgressState();
  const throttle = new Throttle();
  return {
    report(event) {
      const at = now();
      state.add(event, at);
      const ended = event.type === 'phase-finished' ? state.finish(event) : undefined;
      if (event.type === 'fetched') return;
      if (!isLogged(levelOf(event), level) || (isPhaseEvent(event) && !phases)) return;
      // A phase that begins holds the first line of its bytes back.
      if (event.type === 'phase-started') throttle.markLogged('bytes', at);
      if (event.type === 'bytes' && !throttle.shouldLog('bytes', at)) return;
      const running = event.type === 'bytes' ? state.find(event) : ended;
      const { name, fields } = toLogEntry(event, { running, retries: state.retries, fetched: state.fetched, at });
      stderr.write(jsonLine(at, levelOf(event), name, fields));
    },
    close() {},
  };
}

interface Around {
  readonly running: RunningPhase | undefined;
  readonly retries: number;
  readonly fetched: number;
  readonly at: number;
}

function toLogEntry(
  event: Exclude<ProgressEvent, { type: 'fetched' }>,
  { running, retries, fetched, at }: Around,
): { readonly name: string; readonly fields: object } {
  if (event.type === 'bytes') {
    const pace = running === undefined ? undefined : paceOf(running, at);
    const { pvc, phase, done, total } = event;
    const how = { rate: whole(pace?.rate), secondsLeft: whole(pace?.secondsLeft) };
    return { name: 'progress', fields: { pvc, phase, bytes: done, total, ...how, ...came(pvc, fetched) } };
  }
  if (event.type === 'phase-finished') {
    const { pvc, phase, seconds } = event;
    const bytes = running !== undefined && running.done > 0 ? { bytes: running.done, total: running.total } : {};
    return { name: event.type, fields: { pvc, phase, ...bytes, ...came(pvc, fetched), seconds } };
  }
  if (event.type === 'retry') {
    const { key, offset, attempt, waitMs, reason } = event;
    return { name: event.type, fields: { key, offset, attempt, waitSeconds: waitMs / 1000, reason, retries } };
  }
  const { type, ...fields } = event;
  return { name: type, fields };
}

/** The check is of no single PVC. */
function came(pvc: string | undefined, fetched: number): { readonly fetched?: number } {
  return pvc === undefined ? {} : { fetched };
}

function whole(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value);
}
