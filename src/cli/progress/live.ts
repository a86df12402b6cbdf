// Progress on a terminal: one calm live line, and above it a line for each finished PVC, warning and note.
import ora from 'ora';
import { isLogged } from '../session/log.ts';
import { printableLine } from '../session/printable.ts';
import { ProgressState } from './state.ts';
import { isPhaseEvent, type ProgressOptions, type ProgressView } from './view.ts';
import { eventLine, hasRoom, levelOf, liveLine } from './words.ts';

/** A new line at most this often: figures that flicker cannot be read. */
const UPDATE_MS = 200;

/** Without news from the engine too: a rate that falls to 0 and the seconds that pass must show. */
const TICK_MS = 1_000;

/** What the spinner and its space take up, and one column that stays free so that no terminal wraps. */
const SPINNER_COLUMNS = 3;
const HIDE_CURSOR = '\u001B[?25l';
const SHOW_CURSOR = '\u001B[?25h';

/** For a terminal that `hasRoom`; while it has none, or nothing runs, no line is drawn. */
export function liveProgress({ stderr, now, level, colour }: ProgressOptions): ProgressView {
  const state = new ProgressState();
  // ora would put the cursor back through Node's own stream, which blocks while the terminal is stopped.
  const spinner = ora({
    stream: stderr,
    isEnabled: true,
    discardStdin: false,
    hideCursor: false,
    color: colour ? 'cyan' : false,
  });
  let shownAt = Number.NEGATIVE_INFINITY;
  const show = (at: number): void => {
    shownAt = at;
    if (!hasRoom(stderr) || state.isIdle) {
      stop();
      return;
    }
    spinner.text = printableLine(liveLine(state, at, (stderr.columns ?? 0) - SPINNER_COLUMNS));
    start();
  };
  const start = (): void => {
    if (spinner.isSpinning) return;
    stderr.exitSequence = SHOW_CURSOR;
    stderr.write(HIDE_CURSOR);
    spinner.start();
  };
  const stop = (): void => {
    if (!spinner.isSpinning) return;
    spinner.stop();
    stderr.write(SHOW_CURSOR);
    stderr.exitSequence = '';
  };
  const tick = setInterval(() => show(now()), TICK_MS);
  tick.unref();
  show(now());
  return {
    report(event) {
      const at = now();
      state.add(event, at);
      if (event.type === 'fetched') return;
      if (event.type === 'phase-finished') state.finish(event);
      if (!isPhaseEvent(event) && isLogged(event.type === 'retry' ? 'debug' : levelOf(event), level)) {
        // ora makes room: it clears its line before this one and draws it again below.
        stderr.write(`${printableLine(eventLine(event, state.retries))}\n`);
      }
      if (event.type !== 'bytes' || at - shownAt >= UPDATE_MS) show(at);
    },
    close() {
      clearInterval(tick);
      stop();
    },
  };
}
