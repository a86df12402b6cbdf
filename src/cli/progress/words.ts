// The words for each event and for the running phase: what people read, on a terminal or in a log.
import type { ProgressEvent } from '../../progress.ts';
import { count, formatBytes, formatDuration } from '../../units.ts';
import type { TextStream } from '../session/context.ts';
import type { LogLevel } from '../session/global-flags.ts';
import { type Pace, type ProgressState, paceOf, type RunningPhase } from './state.ts';
import type { ToldEvent } from './view.ts';

/** From which level on an event is told. */
export function levelOf(event: ProgressEvent): LogLevel {
  if (event.type === 'warning') return 'warn';
  if (event.type === 'pvc-finished' && event.state === 'failed') return 'error';
  return 'info';
}

/** Narrower terminals get lines of text. */
const MIN_COLUMNS = 20;

/** Whether a live line can be drawn: a serial console, or `docker exec -t` without a terminal, does not know its size. */
export function hasRoom({ isTTY, columns, rows }: TextStream): boolean {
  return isTTY === true && columns !== undefined && columns >= MIN_COLUMNS && rows !== undefined;
}

/** `0.4 s left` has no use: the rate changes faster. */
const MIN_SECONDS_LEFT = 1;

/**
 * The live line in at most `columns` columns: `[1/2] rootdisk download 12 % · 9.00 GiB of 75.1 GiB · 120 MiB/s · …`.
 * On a narrow terminal what matters least goes first; the rest is cut.
 */
export function liveLine(state: ProgressState, now: number, columns: number): string {
  const running = state.current;
  const place = state.pvc === undefined ? '' : `[${state.pvc.index}/${state.pvc.count}] `;
  if (running === undefined) return fit(state.pvc === undefined ? '…' : `${place}${state.pvc.pvc}`, columns);
  const pvc = running.pvc ?? state.pvc?.pvc;
  const head = [pvc, running.phase].filter((word) => word !== undefined).join(' ');
  const parts = liveParts(running, state, now);
  for (let importance = 0; importance <= LEAST; importance += 1) {
    const kept = parts.filter((part) => part.importance >= importance).map((part) => part.text);
    const line = [`${importance > 1 ? '' : place}${head}`, ...kept].join(' · ');
    if (line.length <= columns) return line;
  }
  return fit(head, columns);
}

interface Part {
  readonly text: string;
  /** The lowest go first. */
  readonly importance: number;
}

const LEAST = 5;

function liveParts(running: RunningPhase, { retries }: ProgressState, now: number): Part[] {
  const pace = paceOf(running, now);
  const parts: Part[] = [];
  const percent = percentOf(running);
  if (percent !== undefined) parts.push({ text: percent, importance: 4 });
  if (running.total !== undefined && running.total > 0) parts.push({ text: formatPhaseBytes(running), importance: 0 });
  if (percent === undefined && running.detail !== undefined) parts.push({ text: running.detail, importance: 0 });
  if (pace.rate !== undefined) parts.push({ text: `${formatBytes(Math.round(pace.rate))}/s`, importance: 2 });
  if (percent === undefined) parts.push({ text: formatDuration((now - running.startedAt) / 1000), importance: 3 });
  if (isTimeLeftShown(pace)) parts.push({ text: `${formatDuration(pace.secondsLeft)} left`, importance: 3 });
  // With `stream` the bytes of a phase are the disk's; how much of it had to be fetched is another number.
  if (running.fetched > 0 && running.phase !== 'download') {
    parts.push({ text: `${formatBytes(running.fetched)} fetched`, importance: 0 });
  }
  if (retries > 0) parts.push({ text: count(retries, 'retry', 'retries'), importance: 1 });
  return parts;
}

/** `12 %, 9.00 GiB of 75.1 GiB, 120 MiB/s, 9 min 05 s left` */
export function progressText(running: RunningPhase, now: number): string {
  const pace = paceOf(running, now);
  return [
    percentOf(running),
    formatPhaseBytes(running),
    pace.rate === undefined ? undefined : `${formatBytes(Math.round(pace.rate))}/s`,
    isTimeLeftShown(pace) ? `${formatDuration(pace.secondsLeft)} left` : undefined,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

/** `12 %`; undefined when the total is not known. Only what is whole is 100 %. */
function percentOf({ done, total }: RunningPhase): string | undefined {
  if (total === undefined || total === 0) return undefined;
  return `${Math.floor((done / total) * 100)} %`;
}

function formatPhaseBytes({ done, total }: RunningPhase): string {
  return total === undefined ? formatBytes(done) : `${formatBytes(done)} of ${formatBytes(total)}`;
}

function isTimeLeftShown(pace: Pace): pace is Pace & { readonly secondsLeft: number } {
  return pace.secondsLeft !== undefined && pace.secondsLeft >= MIN_SECONDS_LEFT;
}

function fit(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}

/** The line for anything but a phase; the live view tells these too, above itself. */
export function eventLine(event: ToldEvent, retries: number): string {
  if (event.type === 'pvc-started') {
    const layers = count(event.layers, 'layer');
    const place = `${event.pvc} (${event.index} of ${event.count})`;
    return `${place}: ${layers}, ${formatBytes(event.virtualSize)}, onto ${event.target}`;
  }
  if (event.type === 'pvc-finished') {
    const how = event.state === 'kept' ? ` (${event.verified ? 'compared' : 'not compared'})` : '';
    return `${event.pvc} (${event.index} of ${event.count}): ${event.state}${how} after ${formatDuration(event.seconds)}`;
  }
  if (event.type === 'retry') {
    const place = event.offset === undefined ? event.key : `${event.key} at ${event.offset}`;
    const wait = formatDuration(event.waitMs / 1000);
    return `retry ${event.attempt} of ${place} in ${wait}: ${event.reason} (${retries} so far)`;
  }
  const about = event.pvc === undefined ? '' : `${event.pvc}: `;
  return event.type === 'warning' ? `warning: ${about}${event.message}` : `${about}${event.message}`;
}
