// Where a path is in its file system: the same through every mount of it, also one of a single directory or file.
import { open, readFile, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { systemCode } from '../errors.ts';
import type { Mount } from '../target/linux/mounts.ts';

export interface MountPath {
  /** The file system's device number, `major:minor`. */
  readonly device: string;
  /** From the file system's own root. */
  readonly path: string;
}

/** Nothing is read, and a device or pipe is not opened: the descriptor stands for the path alone (open(2), O_PATH). */
const O_PATH = 0o10000000;

/** Of an existing path; undefined where the kernel does not say. `mounts` is our own mount table. */
export async function mountPathOf(path: string, mounts: readonly Mount[]): Promise<MountPath | undefined> {
  try {
    await using handle = await open(path, O_PATH);
    const real = await readlink(`/proc/self/fd/${handle.fd}`);
    const id = /^mnt_id:\s*(\d+)/m.exec(await readFile(`/proc/self/fdinfo/${handle.fd}`, 'utf8'))?.[1];
    const mount = mounts.find((candidate) => candidate.id === id);
    if (mount === undefined) return undefined;
    return { device: mount.device, path: join(mount.root, relative(mount.mountPoint, real)) };
  } catch (error) {
    // Without /proc, or where the path is closed to us: device and inode are all there is to compare.
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
