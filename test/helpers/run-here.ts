// Runs the program in this process: with its own arguments, environment and streams, without what starting a process costs.
import { Readable } from 'node:stream';
import { runProgram } from '../../src/cli/program.ts';
import { type CliResult, cleanEnvironment } from './run-cli.ts';
import { RecordedStream } from './text-stream.ts';

/** As `runCli`, for runs of which there are many. */
export async function runHere(argv: readonly string[]): Promise<CliResult> {
  const [stdout, stderr] = [new RecordedStream(), new RecordedStream()];
  const exitCode = await runProgram({
    argv,
    env: cleanEnvironment(),
    cwd: process.cwd(),
    stdin: Readable.from([]),
    stdout,
    stderr,
    signal: new AbortController().signal,
    now: () => performance.timeOrigin + performance.now(),
  });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}
