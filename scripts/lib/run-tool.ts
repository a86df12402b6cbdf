// Runs a program to its end; it dies with us, and what it said on stderr is in the error.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

export interface ToolOptions {
  readonly signal: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
}

/** What the program wrote to stdout and stderr. Rejects when it exits other than 0 or cannot be started. */
export async function runTool(
  name: string,
  args: readonly string[],
  { signal, env = {}, cwd, input = '' }: ToolOptions,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', name, ...args], {
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
    ...(cwd === undefined ? {} : { cwd }),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // A program that ends without reading its input breaks the pipe; its exit status tells what matters.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [status, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  if (status !== 0) throw new Error(`${name} ${args.join(' ')}: exit ${status}: ${stderr.trim()}`);
  return { stdout, stderr };
}
