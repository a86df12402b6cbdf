// The program on a real pseudo-terminal: resized, left unread, stopped with Ctrl-S, hung up.
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment, programPath } from './run-cli.ts';
import type { Owner } from './tmp.ts';

/** What `requires` must find before `startInTerminal`. */
export const TERMINAL_TOOLS = ['python3'] as const;

export interface TerminalOptions {
  /** Default: 100 × 30. 0 is what a serial console, or `docker exec -t` without a terminal, has. */
  readonly columns?: number;
  readonly rows?: number;
  /** What is the terminal; the others are pipes, standard input is empty. */
  readonly on?: readonly ('stdin' | 'stdout' | 'stderr')[];
  readonly env?: NodeJS.ProcessEnv;
  /** What starts the program: `nohup`, `setsid --wait`. */
  readonly through?: readonly string[];
}

interface TerminalEnd {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What appeared on the terminal. */
  readonly screen: string;
  /** What came through the pipes. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface InTerminal {
  /** Runs the terminal, and ends as the program does. */
  readonly child: ChildProcess;
  readonly end: Promise<TerminalEnd>;
  // Each resolves when it is done.
  resize(columns: number, rows: number): Promise<void>;
  /** The terminal's output is no longer taken; `read` takes it again. */
  pause(): Promise<void>;
  read(): Promise<void>;
  type(text: string): Promise<void>;
  /** The line is dropped: SIGHUP, and every write fails with EIO. */
  hangUp(): Promise<void>;
  signal(name: NodeJS.Signals): Promise<void>;
  /** Resolves when what appeared on the terminal so far fits. */
  until(fits: (screen: string) => boolean): Promise<void>;
}

/** Starts the program with `args`; killed with the test, if it still runs then. */
export function startInTerminal(
  t: Owner,
  args: readonly string[],
  { columns = 100, rows = 30, on = ['stdin', 'stdout', 'stderr'], env = {}, through = [] }: TerminalOptions = {},
): InTerminal {
  const helper = fileURLToPath(new URL('terminal.py', import.meta.url));
  // Under tap `spawn` puts tap's loader into NODE_OPTIONS of every child; env(1) takes it out.
  const program = [...through, 'env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args];
  const child = spawn('python3', [helper, String(columns), String(rows), on.join(','), ...program], {
    env: cleanEnvironment({ TERM: 'xterm', ...env }),
    stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe', 'pipe'],
  });
  t.teardown(() => child.stdin?.end());
  child.stdin?.on('error', () => {});
  const output = { screen: '', stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  for (const [name, stream] of [
    ['screen', child.stdio[1]],
    ['stdout', child.stdio[3]],
    ['stderr', child.stdio[4]],
  ] as const) {
    (stream as Readable).setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      for (const look of waiting) look();
    });
  }
  const end = once(child, 'close').then(
    (): TerminalEnd => ({ exitCode: child.exitCode, signal: child.signalCode, ...output }),
  );
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });
  let done = 0;
  let sent = 0;
  const acknowledged = new EventEmitter();
  child.stdio.at(5)?.on('data', (answers: Buffer) => {
    done += answers.length;
    acknowledged.emit('done');
  });
  const send = async (line: string): Promise<void> => {
    child.stdin?.write(`${line}\n`);
    sent += 1;
    const mine = sent;
    // A program that ends meanwhile takes the helper along, with the answer.
    while (done < mine && !isOver) await Promise.race([once(acknowledged, 'done'), end]);
  };
  return {
    child,
    end,
    resize: (width, height) => send(`size ${width} ${height}`),
    pause: () => send('pause'),
    read: () => send('read'),
    type: (text) => send(`type ${Buffer.from(text).toString('hex')}`),
    hangUp: () => send('hangup'),
    signal: (name) => send(`signal ${constants.signals[name]}`),
    until: async (fits) => {
      const seen = (): boolean => fits(output.screen);
      let look = (): void => {};
      const appeared = new Promise<void>((resolve) => {
        look = () => {
          if (seen()) resolve();
        };
        waiting.add(look);
        look();
      });
      const missed = end.then((ended): void => {
        if (!seen()) throw new Error(`ended before that: ${JSON.stringify(ended)}`);
      });
      await Promise.race([appeared, missed]).finally(() => waiting.delete(look));
    },
  };
}
