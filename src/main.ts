// argv, environment and signals in, exit status out: the only file that touches the process.

import { failProgram, runProgram } from './cli/program.ts';
import { type CancelSignal, type Context, cancelledBy } from './cli/session/context.ts';
import { signalStatus } from './cli/session/exit.ts';
import { fenceEnvironment } from './cli/session/fence.ts';
import { toDatamoverError } from './errors.ts';

/** Below the 30 s that Kubernetes gives, far above the 10 s that an orderly end takes: only a hang meets it. */
const GRACE_MS = 20_000;

fenceEnvironment(process.env);
const cancel = new AbortController();
const context: Context = {
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: cancel.signal,
  now: () => performance.timeOrigin + performance.now(),
};

for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => onSignal(name));
for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe);
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);

void runProgram(context).then(exit);

/** The first signal asks the run to end; a second one ends it at once, and its children die with it. */
function onSignal(name: CancelSignal): void {
  if (cancel.signal.aborted) process.exit(signalStatus(name));
  cancel.abort(cancelledBy(name));
  setTimeout(() => process.exit(signalStatus(name)), GRACE_MS).unref();
}

/** Nobody reads any more (`… | head`): a restore goes on nevertheless, and its exit status tells how it went. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') crash(error);
}

/** A bug that nothing caught: one line, not a stack trace. */
function crash(error: unknown): void {
  void failProgram(context, toDatamoverError(error)).then(exit, () => process.exit(1));
}

/** Ends the process once its output is written, whatever connections or timers are left. */
async function exit(status: number): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise((resolve) => stream.write('', resolve));
  }
  process.exit(status);
}
