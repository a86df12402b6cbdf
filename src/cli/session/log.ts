// What is said on stderr besides progress: errors with their hints, as text or as JSON lines.
import type { Problem } from '../../errors.ts';
import { inPod } from '../../in-pod.ts';
import type { Context } from './context.ts';
import { type GlobalFlags, LOG_LEVELS, type LogLevel } from './global-flags.ts';
import { printable } from './printable.ts';

export type LogFormat = 'text' | 'json';

/** `auto` is text on a terminal, else JSON in a pod, else text. */
export function chooseLogFormat(flags: GlobalFlags, { stderr, env }: Context): LogFormat {
  if (flags.logFormat !== 'auto') return flags.logFormat;
  return stderr.isTTY !== true && inPod(env) ? 'json' : 'text';
}

/** Is something of this level said when `chosen` is asked for? */
export function isLogged(level: LogLevel, chosen: LogLevel): boolean {
  return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(chosen);
}

/** One JSON log line. Keys: `time`, `level`, `event`, then the event's own; undefined values are left out. */
export function jsonLine(now: number, level: LogLevel, event: string, fields: object): string {
  return `${JSON.stringify({ time: new Date(now).toISOString(), level, event, ...fields })}\n`;
}

/** Every problem with its hint, as the log's format has it. */
export function describeProblems(problems: readonly Problem[], format: LogFormat, now: number): string {
  if (format === 'json') {
    return problems
      .map(({ pvc, code, message, hint }) => jsonLine(now, 'error', 'error', { pvc, code, message, hint }))
      .join('');
  }
  const several = problems.length > 1 ? `${problems.length} problems:\n` : '';
  return several + problems.map(problemText).join('');
}

function problemText({ pvc, code, message, hint }: Problem): string {
  const about = pvc === undefined || message.includes(pvc) ? '' : `${pvc}: `;
  return printable(`error ${code}: ${about}${message}\n${hint === '' ? '' : `hint: ${hint}\n`}`);
}

export function describeWarning(message: string, format: LogFormat, now: number): string {
  return format === 'json' ? jsonLine(now, 'warn', 'warning', { message }) : printable(`warning: ${message}\n`);
}

/**
 * The stacks of whatever was thrown and of its causes: for `--log-level debug` only. Stacks alone, since the other
 * properties of a foreign error may hold a request with its credentials.
 */
export function describeCause(cause: unknown, format: LogFormat, now: number): string {
  const stacks: string[] = [];
  for (let error = cause; error instanceof Error && stacks.length < 8; error = error.cause) {
    stacks.push(error.stack ?? error.message);
  }
  const message = stacks.join('\ncaused by: ');
  if (message === '') return '';
  return format === 'json' ? jsonLine(now, 'debug', 'cause', { message }) : `${message}\n`;
}
