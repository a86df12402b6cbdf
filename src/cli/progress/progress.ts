// Which way progress is told: a live line, text lines, or JSON lines; and the metrics beside it.
import type { Problem } from '../../errors.ts';
import { problemsOf } from '../../problems.ts';
import type { Progress } from '../../progress.ts';
import { cancelSignalOf } from '../session/context.ts';
import { isLogged } from '../session/log.ts';
import type { Session } from '../session/session.ts';
import { jsonProgress } from './json.ts';
import { textProgress } from './text.ts';
import type { ProgressView } from './view.ts';
import { hasRoom } from './words.ts';

/**
 * Runs `work` with the progress that the flags, the terminal and the environment ask for. When the metrics cannot be served,
 * `work` is given LISTEN_FAILED to report with all other problems, and must do nothing else.
 */
export async function withProgress<T>(
  session: Session,
  metricsPort: number | undefined,
  work: (progress: Progress, problems: readonly Problem[]) => Promise<T>,
): Promise<T> {
  const view = await openView(session);
  const reportStopping = (): void => {
    const name = cancelSignalOf(session.signal) ?? 'cancelled';
    view.report({ type: 'info', message: `${name} received, stopping; a second signal exits immediately` });
  };
  session.signal.addEventListener('abort', reportStopping, { once: true });
  try {
    if (metricsPort === undefined) return await work(view, []);
    return await withServedMetrics(metricsPort, async (metrics, problems) => {
      return await work(metrics === undefined ? view : both(view, metrics), problems);
    });
  } finally {
    session.signal.removeEventListener('abort', reportStopping);
    view.close();
  }
}

async function withServedMetrics<T>(
  port: number,
  work: (metrics: Progress | undefined, problems: readonly Problem[]) => Promise<T>,
): Promise<T> {
  const { withMetrics } = await import('./metrics.ts');
  let isServed = false;
  try {
    return await withMetrics(port, async (metrics) => {
      isServed = true;
      return await work(metrics, []);
    });
  } catch (error) {
    if (isServed) throw error;
    return await work(undefined, problemsOf(error));
  }
}

async function openView({ stderr, now, flags, env, logFormat }: Session): Promise<ProgressView> {
  const options = {
    stderr,
    now,
    level: flags.logLevel,
    phases: flags.progress,
    colour: (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb',
  };
  if (logFormat === 'json') return jsonProgress(options);
  const live = hasRoom(stderr) && env.TERM !== 'dumb' && flags.progress && isLogged('info', flags.logLevel);
  if (!live) return textProgress(options);
  const { liveProgress } = await import('./live.ts');
  return liveProgress(options);
}

function both(one: Progress, other: Progress): Progress {
  return {
    report(event) {
      one.report(event);
      other.report(event);
    },
  };
}
