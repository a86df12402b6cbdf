// An exclusive lock on a file that dies with us. Node has no flock, and process ids mean nothing across pods, so a
// child holds the lock: `flock` runs `cat`, which ends when the pipe from us closes, however we end (design section 8).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import { DatamoverError, systemCode } from '../errors.ts';

export interface Lock {
  release(): Promise<void>;
}

/** Exit status that we ask of flock for "somebody else holds it"; its default, 1, is also that of other failures. */
const BUSY_STATUS = 75;

/**
 * Takes the lock on `path`, which is made (0600) when it is missing. SCRATCH_BUSY when another process holds it,
 * SCRATCH_UNUSABLE when it cannot be made or `flock` is missing.
 */
export async function takeLock(path: string): Promise<Lock> {
  for (;;) {
    const before = await touch(path);
    const lock = await holdLock(path);
    const after = await identityOf(path);
    // A run that ended in between may have deleted the file that was just locked: then the lock excludes nobody.
    if (after === before) return lock;
    await lock.release();
  }
}

async function touch(path: string): Promise<string | undefined> {
  const handle = await open(path, 'a', 0o600);
  await handle.close();
  return await identityOf(path);
}

async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeMs } = await stat(path);
    return `${dev}:${ino}:${birthtimeMs}`;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function holdLock(path: string): Promise<Lock> {
  const child = spawn('flock', ['-n', '-E', String(BUSY_STATUS), path, 'cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    // Out of the terminal's process group: after a Ctrl-C the lock is needed until everything is put in order.
    detached: true,
  });
  const ended = new Promise<{ status: number | null; error?: Error }>((resolve) => {
    child.once('error', (error) => resolve({ status: null, error }));
    child.once('exit', (status) => resolve({ status }));
  });
  // A child that ended closes the pipe; what ended it is told below.
  child.stdin.on('error', () => {});
  child.stdin.write('\n');
  const outcome = await Promise.race([once(child.stdout, 'data').then(() => 'held' as const), ended]);
  if (outcome !== 'held') throw lockError(path, outcome);
  return {
    async release() {
      child.stdin.end();
      await ended;
    },
  };
}

function lockError(path: string, outcome: { status: number | null; error?: Error }): DatamoverError {
  if (outcome.status === BUSY_STATUS) {
    return new DatamoverError('SCRATCH_BUSY', `another run of this plan is at work: it holds ${path}`, {
      hint: 'wait for it to end, or end it; a run that died holds no lock',
    });
  }
  const reason = outcome.error === undefined ? `flock ended with status ${outcome.status}` : outcome.error.message;
  return new DatamoverError('SCRATCH_UNUSABLE', `cannot lock ${path}: ${reason}`, {
    hint: 'flock (Debian package util-linux) must be installed, and scratch must be a file system that takes locks',
    cause: outcome.error,
  });
}
