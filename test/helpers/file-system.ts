// File systems of a test's own: made in a file and mounted through a loop device, or in memory.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before these, beside the program that formats. */
export const MOUNT_TOOLS = ['root', 'losetup', 'mount', 'umount'] as const;

export interface FileSystemShape {
  /** Bytes of the device, of which the file system takes some itself. */
  readonly size: number;
  /** The program that formats it, and its flags: the file's name is added. */
  readonly format: readonly [program: string, ...flags: string[]];
  /** Mount options; `loop` by default. */
  readonly options?: string;
}

/** Gives the directory that it is mounted on, which every user may enter; unmounted with the test. */
export function fileSystem(t: Owner, { size, format: [program, ...flags], options = 'loop' }: FileSystemShape): string {
  const folder = tempFolder(t);
  chmodSync(folder, 0o755);
  const [file, mountPoint] = [join(folder, 'disk'), join(folder, 'mnt')];
  writeFileSync(file, '');
  truncateSync(file, size);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  execFileSync(program, [...flags, file], { env, stdio: 'ignore' });
  mkdirSync(mountPoint);
  execFileSync('mount', ['-o', options, file, mountPoint]);
  t.teardown(() => execFileSync('umount', [mountPoint]));
  return mountPoint;
}

/** A file system in memory (`tmpfs`, `ramfs`), as `fileSystem`. */
export function mounted(t: Owner, type: string, options = 'mode=755'): string {
  const folder = tempFolder(t);
  chmodSync(folder, 0o755);
  const mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint);
  execFileSync('mount', ['-t', type, '-o', options, `kdm-${type}`, mountPoint]);
  t.teardown(() => execFileSync('umount', [mountPoint]));
  return mountPoint;
}
