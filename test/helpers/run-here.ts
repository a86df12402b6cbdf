// Runs the program in this process: with its own arguments, environment and streams, without what starting a process costs.
import { Readable } from 'node:stream';
import { runProgram } from '../../src/cli/program.ts';
import { type CliResult, cleanEnvironment } from './run-cli.ts';
import { RecordedStream } from './text-stream.ts';

export interface RunHereOptions {
  /** A test's own by default. */
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
}

/** As `runCli`, for runs of which there are many. Warnings of Node come on stderr. */
export async function runHere(
  argv: readonly string[],
  { env = cleanEnvironment(), stdin = '' }: RunHereOptions = {},
): Promise<CliResult & { readonly exitCode: number }> {
  const [stdout, stderr] = [new RecordedStream(), new RecordedStream()];
  const warn = (warning: Error): void => void stderr.write(`${warning.stack}\n`);
  process.on('warning', warn);
  const exitCode = await runProgram({
    argv,
    env,
    cwd: process.cwd(),
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]),
    stdout,
    stderr,
    signal: new AbortController().signal,
    now: () => performance.timeOrigin + performance.now(),
  });
  process.off('warning', warn);
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}
