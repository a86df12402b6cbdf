// An exclusive lock on a file that dies with us. Node has no flock, and process ids mean nothing across pods, so a
// child holds the lock: `flock` runs `cat`, which ends when the pipe from us closes, however we end (design section 8).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { DatamoverError, systemCode } from '../errors.ts';
import { launcherFailure } from '../launchers.ts';
import { undefinedIfMissing } from '../missing.ts';
import { exhaustion } from '../process-limits.ts';

export interface Lock {
  release(): Promise<void>;
}

/** Exit status that we ask of flock for "somebody else holds it"; its default, 1, is also that of other failures. */
const BUSY_STATUS = 75;

/** Seconds: longer than `isLocked` of another run holds it, which must not pass for a run of this plan. */
const PATIENCE = 0.5;

/**
 * Takes the lock on `path`, which is made (0600, a link is refused) when it is missing. SCRATCH_BUSY when another process
 * holds it, SCRATCH_UNUSABLE when it cannot be had, TOOL_MISSING without `flock`.
 */
export async function takeLock(path: string): Promise<Lock> {
  for (;;) {
    const before = await touch(path);
    const lock = await holdLock(path);
    const after = await lockFileId(path);
    // A run that ended in between may have deleted the file that was just locked: then the lock excludes nobody.
    if (after === before) return lock;
    await lock.release();
  }
}

/** Whether somebody holds the lock on `path` now; nobody does where it is not there. Nothing is made. Errors as `takeLock`. */
export async function isLocked(path: string): Promise<boolean> {
  const handle = await undefinedIfMissing(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  try {
    const asked = handle === undefined ? ['--version'] : ['-n', '-s', '-E', String(BUSY_STATUS), '3'];
    const end = await waitForEnd(
      spawn('flock', asked, { stdio: ['ignore', 'ignore', 'pipe', handle?.fd ?? 'ignore'] }),
    );
    if (end.status === 0 || end.status === BUSY_STATUS) return end.status !== 0;
    throw lockError(path, end);
  } finally {
    await handle?.close();
  }
}

async function touch(path: string): Promise<string | undefined> {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o600);
  await handle.close();
  return await lockFileId(path);
}

async function lockFileId(path: string): Promise<string | undefined> {
  const found = await undefinedIfMissing(lstat(path));
  return found && `${found.dev}:${found.ino}:${found.birthtimeMs}`;
}

async function holdLock(path: string): Promise<Lock> {
  const child = spawn('flock', ['-w', String(PATIENCE), '-E', String(BUSY_STATUS), path, 'cat'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Out of the terminal's process group: after a Ctrl-C the lock is needed until everything is put in order.
    detached: true,
  });
  const ended = waitForEnd(child);
  // Without a descriptor for them, a child that was not started has no pipes, whatever its type says.
  if ((child.stdin as unknown) === undefined) throw lockError(path, await ended);
  // A child that ended closes the pipe; what ended it is told below.
  child.stdin.on('error', () => {});
  child.stdin.write('\n');
  const outcome = await Promise.race([once(child.stdout, 'data').then(() => 'held' as const), ended]);
  if (outcome !== 'held') {
    if (outcome.status === BUSY_STATUS) throw lockBusy(path);
    throw lockError(path, outcome);
  }
  return {
    async release() {
      child.stdin.end();
      await ended;
    },
  };
}

interface End {
  readonly status: number | null;
  readonly said: string;
  readonly error?: Error;
}

async function waitForEnd(child: ChildProcess): Promise<End> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    if (said.length < MAX_SAID) said += piece;
  });
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve({ status: null, said, error }));
    child.once('close', (status) => resolve({ status, said }));
  });
}

const MAX_SAID = 4096;

/** What is said of a lock that another run holds. */
export function lockBusy(path: string): DatamoverError {
  return new DatamoverError('SCRATCH_BUSY', `another restore of this plan is running (lock: ${path})`, {
    hint: 'wait for it to finish or stop it; the lock is released when the process exits',
  });
}

function lockError(path: string, { status, said, error }: End): DatamoverError {
  const exhausted = exhaustion(error);
  if (exhausted !== undefined) {
    return new DatamoverError('TOOL_FAILED', `flock could not be started: ${exhausted.why}`, {
      hint: exhausted.hint,
      cause: error,
    });
  }
  const failure = launcherFailure(['flock'], said);
  // What it says of the lock itself is about the file system.
  if (failure?.code === 'TOOL_MISSING') return failure;
  if (systemCode(error) === 'ENOENT') {
    return new DatamoverError('TOOL_MISSING', 'flock not found or not executable', {
      hint: 'install it: apt-get install util-linux (or put it on PATH)',
      cause: error,
    });
  }
  const reason = error?.message ?? (said.trim().split('\n')[0] || `flock exited with status ${status}`);
  return new DatamoverError('SCRATCH_UNUSABLE', `cannot lock ${path}: ${reason}`, {
    hint: 'choose a directory on a file system that supports locks with --scratch, and use flock of util-linux',
    cause: error,
  });
}
