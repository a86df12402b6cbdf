// A small file system of a test's own, to be filled up: ext4 in a file, mounted through a loop device.
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `smallDisk`. */
export const SMALL_DISK_TOOLS = ['root', 'losetup', 'mkfs.ext4', 'mount', 'umount'] as const;

/** The folder that it is mounted on. `size` in bytes, of which ext4 takes some itself. */
export function smallDisk(t: Owner, { size }: { readonly size: number }): string {
  const folder = tempFolder(t);
  const [file, mountPoint] = [join(folder, 'disk'), join(folder, 'mnt')];
  writeFileSync(file, '');
  truncateSync(file, size);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', file]);
  mkdirSync(mountPoint);
  execFileSync('mount', ['-o', 'loop', file, mountPoint]);
  t.teardown(() => execFileSync('umount', [mountPoint]));
  return mountPoint;
}
