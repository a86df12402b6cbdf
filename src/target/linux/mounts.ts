// The mount table as /proc/self/mountinfo gives it (proc(5)).
import { readFile, stat } from 'node:fs/promises';
import { systemCode } from '../../errors.ts';
import { deviceNumber } from './sysfs.ts';

export interface Mount {
  /** As `mnt_id` of an open file has it. */
  readonly id: string;
  /** `major:minor` */
  readonly device: string;
  /** The directory of the file system that is mounted: `/` for all of it. */
  readonly root: string;
  readonly mountPoint: string;
  /** `/dev/sda1` for most file systems on a device. */
  readonly source: string;
  /** Of the file system: `ext4`. */
  readonly type: string;
}

/** Every mount that a process sees, by default our own; none where /proc does not tell. */
export async function readMounts(pid = 'self'): Promise<Mount[]> {
  try {
    return parseMounts(await readFile(`/proc/${pid}/mountinfo`, 'utf8'));
  } catch (error) {
    // Only messages and a second way to find a device lack it; the kernel's own EBUSY does not.
    if (systemCode(error) !== undefined) return [];
    throw error;
  }
}

/** Lines as `22 27 8:1 / /mnt rw,relatime shared:1 - ext4 /dev/sda1 rw`; blanks in paths are `\040`. */
function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [id, , device, root, mountPoint] = left.split(' ');
    const [type, source] = right.split(' ');
    if (id === undefined || device === undefined || root === undefined || mountPoint === undefined) return [];
    if (type === undefined || source === undefined) return [];
    const [rootPath, place, from] = [root, mountPoint, source].map(decodeOctal) as [string, string, string];
    return [{ id, device, root: rootPath, mountPoint: place, source: from, type }];
  });
}

/** The number of the block device at a path, `major:minor`; undefined for anything else. */
export async function blockNumber(path: string): Promise<string | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return found.isBlockDevice() ? deviceNumber(found.rdev) : undefined;
  } catch (error) {
    // A source such as `tmpfs`, or a device that is not to be seen from here: no number.
    if (systemCode(error) !== undefined) return undefined;
    throw error;
  }
}

function decodeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
