// What the engine told so far, folded into what there is to show now.
import { asleepMs } from '../../awake.ts';
import type { Phase, ProgressEvent } from '../../progress.ts';
import { RateWindow } from './rate.ts';

export interface RunningPhase {
  readonly phase: Phase;
  readonly pvc: string | undefined;
  readonly detail: string | undefined;
  readonly startedAt: number;
  readonly rate: RateWindow;
  done: number;
  /** Bytes that were done when it started: of a download, what an earlier run had fetched. Undefined before the first report. */
  before: number | undefined;
  total: number | undefined;
  /** Bytes of layers that came from the source while it ran. */
  fetched: number;
}

export interface CurrentPvc {
  readonly pvc: string;
  /** From 1. */
  readonly index: number;
  readonly count: number;
}

/** Bytes a second and the seconds left, where they can be said. */
export interface Pace {
  readonly rate: number | undefined;
  readonly secondsLeft: number | undefined;
}

export class ProgressState {
  pvc: CurrentPvc | undefined;
  /** Retries of the whole run. */
  retries = 0;
  /** Bytes of layers that came from the source for the current PVC. */
  fetched = 0;
  readonly #running = new Map<string, RunningPhase>();

  /** The phase to show: of those that run, the one that began last. */
  get current(): RunningPhase | undefined {
    return [...this.#running.values()].at(-1);
  }

  /** Nothing runs that a line could show. */
  get isIdle(): boolean {
    return this.#running.size === 0 && this.pvc === undefined;
  }

  add(event: ProgressEvent, now: number): void {
    if (event.type === 'pvc-started') {
      this.#running.clear();
      this.fetched = 0;
      this.pvc = { pvc: event.pvc, index: event.index, count: event.count };
    } else if (event.type === 'pvc-finished') {
      this.#running.clear();
      this.pvc = undefined;
    } else if (event.type === 'retry') {
      this.retries += 1;
    } else if (event.type === 'fetched') {
      this.fetched += event.count;
      if (this.current !== undefined) this.current.fetched += event.count;
    } else if (event.type === 'phase-started') {
      this.#start(event, now);
    } else if (event.type === 'bytes') {
      this.#advance(event, now);
    }
    // A finished phase stays current until its last line was told: `finish` takes it away.
  }

  /** Takes a phase that has ended away, and gives it. */
  finish({ pvc, phase }: { readonly pvc?: string; readonly phase: Phase }): RunningPhase | undefined {
    const key = phaseKey(pvc, phase);
    const ended = this.#running.get(key);
    this.#running.delete(key);
    return ended;
  }

  find({ pvc, phase }: { readonly pvc?: string; readonly phase: Phase }): RunningPhase | undefined {
    return this.#running.get(phaseKey(pvc, phase));
  }

  #start(event: Extract<ProgressEvent, { type: 'phase-started' }>, now: number): RunningPhase {
    const { pvc, phase, detail, total } = event;
    const rate = new RateWindow();
    const running = { phase, pvc, detail, startedAt: now, rate, done: 0, before: undefined, total, fetched: 0 };
    // Deleted first: a phase that begins again is the newest one.
    this.#running.delete(phaseKey(pvc, phase));
    this.#running.set(phaseKey(pvc, phase), running);
    return running;
  }

  #advance(event: Extract<ProgressEvent, { type: 'bytes' }>, now: number): void {
    const { pvc, phase } = event;
    const running =
      this.find(event) ?? this.#start({ type: 'phase-started', phase, ...(pvc === undefined ? {} : { pvc }) }, now);
    running.before ??= Math.max(0, event.done - running.fetched);
    running.done = event.done;
    running.total = event.total;
    // In awake time: a process that was stopped would report a rate near zero, and an estimate of hours, when it resumes.
    running.rate.add(now - asleepMs(), event.done);
  }
}

export function paceOf({ rate, done, total }: RunningPhase, now: number): Pace {
  const bytesPerSecond = rate.bytesPerSecond(now - asleepMs());
  const known = bytesPerSecond !== undefined && bytesPerSecond > 0 && total !== undefined;
  return { rate: bytesPerSecond, secondsLeft: known ? (total - done) / bytesPerSecond : undefined };
}

function phaseKey(pvc: string | undefined, phase: Phase): string {
  return `${phase} ${pvc ?? ''}`;
}
