// Other programs, run to their end by a test.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

export interface Outcome {
  /** Exit status, or null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** What it reads on standard input; nothing when absent. */
  readonly input?: string;
}

/** Runs a program and gives whatever came of it; rejects only when it could not be started. */
export async function command(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  const { env = process.env, cwd, input = '' } = options;
  const child = spawn(program, args, { env, cwd, stdio: 'pipe' });
  const ended = new Promise<Pick<Outcome, 'status' | 'signal'>>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal }));
  });
  // A program that does not read its input to the end is no failure.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [stdout, stderr, end] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { ...end, stdout, stderr };
}

/** As `command`, but anything other than exit status 0 rejects with what the program said; gives its stdout. */
export async function mustRun(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { status, signal, stdout, stderr } = await command(program, args, options);
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ended with ${status ?? signal}\n${stdout}${stderr}`);
}
