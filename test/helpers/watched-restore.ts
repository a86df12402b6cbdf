// A restore that is watched while it runs: its JSON log tells where it is, so that a test can strike at the right moment.
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Phase } from '../../src/progress.ts';
import { parseDocument, type RestoreDocument } from './restore.ts';
import { type CliResult, type RunCliOptions, startCli } from './run-cli.ts';
import { startInTerminal, type TerminalOptions } from './terminal.ts';
import type { Owner } from './tmp.ts';

const lineSchema = z.looseObject({
  event: z.string(),
  pvc: z.string().optional(),
  phase: z.string().optional(),
  message: z.string().optional(),
  code: z.string().optional(),
  index: z.number().optional(),
});

type LogLine = z.infer<typeof lineSchema>;

export interface WatchedEnd {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  /** Undefined when it was killed before it could print one. */
  readonly document: RestoreDocument | undefined;
  readonly stderr: string;
}

export interface WatchedRestore {
  readonly child: ChildProcess;
  /** What was logged so far. */
  readonly lines: readonly LogLine[];
  /** The first line, past or to come, that fits. Rejects when the program ended without one. */
  until(what: string, fits: (line: LogLine) => boolean): Promise<LogLine>;
  /** `until` a phase has begun. */
  untilPhase(phase: Phase): Promise<LogLine>;
  readonly end: Promise<WatchedEnd>;
}

/** `restore PLAN --output json --log-format json` with `args` added; killed with the test, if it still runs then. */
export function watchRestore(
  t: Owner,
  plan: string,
  args: readonly string[] = [],
  options: RunCliOptions = {},
): WatchedRestore {
  const { child, result } = startCli(commandLine(plan, args), options);
  t.teardown(() => child.kill('SIGKILL'));
  return watch(child, child.stderr, result);
}

export interface WatchedInTerminal extends WatchedRestore {
  /** The terminal is gone: SIGHUP, and every write to it fails. */
  hangUp(): Promise<void>;
}

/** As `watchRestore`, with a terminal for stderr. */
export function watchRestoreInTerminal(
  t: Owner,
  plan: string,
  args: readonly string[],
  options: Pick<TerminalOptions, 'env' | 'through'>,
): WatchedInTerminal {
  const { child, end, hangUp } = startInTerminal(t, commandLine(plan, args), { on: ['stderr'], ...options });
  const result = end.then(({ exitCode, stdout, screen }) => ({ exitCode, stdout, stderr: screen }));
  return { ...watch(child, child.stdout, result), hangUp };
}

/** Devices that are tried until one is read back slowly. */
const ATTEMPTS = 20;

/**
 * Calls `start`, which starts a run and waits until it reads its slow device back, until one run is in the middle of that. What was just
 * written may come from the page cache of FUSE, past the throttle (16 MiB in 8 ms); whether it does, the kernel decides anew for each
 * device.
 */
export async function untilReadSlowly<T extends { readonly run: WatchedRestore }>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const started = await start();
    if (await Promise.race([delay(300, true), started.run.end.then(() => false)])) return started;
  }
  throw new Error(`none of ${ATTEMPTS} devices was read slowly`);
}

function commandLine(plan: string, args: readonly string[]): string[] {
  return ['restore', plan, '--output', 'json', '--log-format', 'json', ...args];
}

/** `log` gives what the program writes to stderr. */
function watch(child: ChildProcess, log: Readable | null, result: Promise<CliResult>): WatchedRestore {
  const lines: LogLine[] = [];
  const waiting = new Set<(line: LogLine) => void>();
  if (log === null) throw new TypeError('stderr is no pipe');
  createInterface({ input: log }).on('line', (text) => {
    const line = parseLine(text);
    if (line === undefined) return;
    lines.push(line);
    for (const tell of waiting) tell(line);
  });
  const end = result.then(({ exitCode, stdout, stderr }): WatchedEnd => {
    return { exitCode, document: stdout === '' ? undefined : parseDocument(stdout), stderr };
  });
  const until = async (what: string, fits: (line: LogLine) => boolean): Promise<LogLine> => {
    const known = lines.find(fits);
    if (known !== undefined) return known;
    let stop = (): void => {};
    const coming = new Promise<LogLine>((resolve) => {
      const tell = (line: LogLine): void => {
        if (fits(line)) resolve(line);
      };
      waiting.add(tell);
      stop = () => void waiting.delete(tell);
    });
    const missed = end.then(({ exitCode, stderr }): never => {
      throw new Error(`the program ended (${exitCode}) before ${what}:\n${stderr}`);
    });
    return await Promise.race([coming, missed]).finally(stop);
  };
  return {
    child,
    lines,
    until,
    untilPhase: (phase) => until(phase, (line) => line.event === 'phase-started' && line.phase === phase),
    end,
  };
}

/** Undefined for what is no line of the JSON log. */
function parseLine(text: string): LogLine | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // A line of text, such as Node's own; the tests read stderr for those.
    return undefined;
  }
}
