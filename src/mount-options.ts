// The options that the file system at a path is mounted with, as /proc/self/mountinfo has them (proc(5)).
import { readFile, realpath } from 'node:fs/promises';
import { systemCode } from './errors.ts';

/**
 * The file system's own options, `rw,compress=zstd:3`; undefined where /proc does not tell. The mount is looked for by its path:
 * a subvolume of btrfs has a device number of its own, which the table does not have.
 */
export async function mountOptionsAt(path: string): Promise<string | undefined> {
  try {
    return findMountOptions(await readFile('/proc/self/mountinfo', 'utf8'), await realpath(path));
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** Of lines as `22 27 0:5 / /mnt rw,relatime shared:1 - btrfs /dev/sda1 rw,compress=zstd:3`; blanks in paths are `\040`. */
export function findMountOptions(table: string, path: string): string | undefined {
  let found: { readonly mountPoint: string; readonly options: string } | undefined;
  for (const line of table.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const mountPoint = left.split(' ')[4]?.replace(/\\([0-7]{3})/g, (_, octal: string) => {
      return String.fromCharCode(Number.parseInt(octal, 8));
    });
    const options = right.split(' ')[2];
    if (mountPoint === undefined || options === undefined) continue;
    if (path !== mountPoint && !path.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`)) continue;
    // A later mount on the same directory covers the earlier one.
    if (mountPoint.length >= (found?.mountPoint.length ?? 0)) found = { mountPoint, options };
  }
  return found?.options;
}
