// A file system that refuses O_DIRECT, as tmpfs does before Linux 6.6: ramfs, on a folder of a test's own.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `withoutDirect`. */
export const WITHOUT_DIRECT_TOOLS = ['root', 'mount', 'umount'] as const;

/** Gives the folder that it is mounted on: `path`, which is made, or a new one. It tells no free space (statfs: 0). */
export function withoutDirect(t: Owner, path: string = join(tempFolder(t), 'mnt')): string {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'ramfs', 'none', path]);
  t.teardown(() => execFileSync('umount', [path]));
  return path;
}
