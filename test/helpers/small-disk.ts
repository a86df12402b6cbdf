// A small file system of a test's own, to be filled up: ext4 in a file, mounted through a loop device.
import { fileSystem, MOUNT_TOOLS } from './file-system.ts';
import type { Owner } from './tmp.ts';

/** What `requires` must find before `smallDisk`. */
export const SMALL_DISK_TOOLS = [...MOUNT_TOOLS, 'mkfs.ext4'] as const;

/** The folder that it is mounted on. `size` in bytes, of which ext4 takes some itself. */
export function smallDisk(t: Owner, { size }: { readonly size: number }): string {
  return fileSystem(t, { size, format: ['mkfs.ext4', '-q', '-m', '0', '-O', '^has_journal'] });
}
