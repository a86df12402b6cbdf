// argv, environment and signals in, exit status out: the only file that touches the process.

import { AwakeTimer } from './awake.ts';
import { failProgram, runProgram } from './cli/program.ts';
import { type Context, cancelledBy } from './cli/session/context.ts';
import { fenceEnvironment } from './cli/session/fence.ts';
import { LogStream, ResultStream } from './cli/session/output.ts';
import { toDatamoverError } from './errors.ts';
import { type CancelSignal, signalStatus } from './exit-status.ts';

/** Below the 30 s that Kubernetes gives, far above the 10 s that an orderly end takes: only a hang meets it. */
const GRACE_MS = 20_000;
/** A terminal that was stopped, or a pipe that is not read, may keep the last lines of the log no longer than this. */
const LOG_PATIENCE_MS = 3_000;

fenceEnvironment(process.env);
const stdout = new ResultStream(1, () => process.stdout);
const stderr = new LogStream(2, () => process.stderr);
const cancel = new AbortController();
let isAsked = false;
const context: Context = {
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout,
  stderr,
  signal: cancel.signal,
  now: () => performance.timeOrigin + performance.now(),
};

for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => onSignal(name));
process.on('SIGHUP', onHangup);
process.on('exit', () => stderr.writeExitSequence());
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);

void runProgram(context).then(exit);

/** The first signal asks the run to end; a second one ends it at once, and its children die with it. */
function onSignal(name: CancelSignal): void {
  if (isAsked) process.exit(signalStatus(name));
  isAsked = true;
  if (!cancel.signal.aborted) stop(name);
}

/**
 * Where the log goes to a terminal, its end is the end of the run. Else the run continues: nohup asks for that by ignoring
 * SIGHUP, but Node sets every signal back to its default at the start, so the destination of the log decides. Several
 * may come at once (from the kernel, the shell, systemd beside SIGTERM), so none counts as a second signal.
 */
function onHangup(): void {
  if (stderr.isTTY && !cancel.signal.aborted) stop('SIGHUP');
}

function stop(name: CancelSignal): void {
  cancel.abort(cancelledBy(name));
  new AwakeTimer(GRACE_MS, () => process.exit(signalStatus(name)), { ref: false });
}

/** A bug that nothing caught: one line, not a stack trace. */
function crash(error: unknown): void {
  void failProgram(context, toDatamoverError(error)).then(exit, () => process.exit(1));
}

/** Ends the process once its output is written, whatever connections or timers are left. */
async function exit(status: number): Promise<void> {
  await stderr.settle(LOG_PATIENCE_MS);
  process.exit(status);
}
