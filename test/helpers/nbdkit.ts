// A real NBD server that errs as told.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

/** Starts `nbdkit` with these arguments; it answers when this returns, and is gone with `t`. Returns its Unix socket. */
export function nbdkit(t: Test, ...args: string[]): string {
  const folder = tempFolder(t);
  const [socket, pid] = [join(folder, 'nbd.sock'), join(folder, 'pid')];
  // In the foreground's stead: nbdkit forks when it listens, and its parent ends.
  execFileSync('nbdkit', ['-U', socket, '-P', pid, ...args], { stdio: 'ignore' });
  t.teardown(() => process.kill(Number(readFileSync(pid, 'utf8'))));
  return socket;
}
