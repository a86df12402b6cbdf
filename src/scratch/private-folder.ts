// A folder of ours in a place that others may write to as well: what lies in it is believed, so nobody else may have had
// a hand in it.
import type { Stats } from 'node:fs';
import { lstat, mkdir, mkdtemp, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatamoverError, systemCode } from '../errors.ts';

/**
 * Makes the folder at `path` (0700), or takes the one that is there; gives whether it was made. SCRATCH_UNUSABLE when
 * that is a link, belongs to somebody else, or may be written to by others.
 */
export async function makeOwnFolder(path: string): Promise<boolean> {
  const made = await mkdir(path, { mode: 0o700 }).then(
    () => true,
    (error: unknown) => {
      if (systemCode(error) !== 'EEXIST') throw error;
      return false;
    },
  );
  const found = await lstat(path);
  checkIsFolder(path, found);
  const ours = { uid: process.getuid?.() ?? found.uid, mode: 0o700 };
  // Some file systems give every file one owner (an NFS export that squashes root) or one mode (CIFS, FAT): what they
  // make of a folder of ours tells whether the one that was found can be ours.
  if (ownershipProblem(found, ours) === undefined) return made;
  const strange = ownershipProblem(found, (await probe(path)) ?? ours);
  if (strange !== undefined) throw untrustedDirectory(path, strange);
  return made;
}

/** SCRATCH_UNUSABLE for anything but a folder: a link to one, above all. */
export function checkIsFolder(path: string, info: Stats): void {
  if (!info.isDirectory()) throw untrustedDirectory(path, 'is not a directory');
}

type Ownership = Pick<Stats, 'uid' | 'mode'>;

function ownershipProblem(found: Stats, ours: Ownership): string | undefined {
  if (found.uid !== ours.uid) return `belongs to user ${found.uid}, expected user ${ours.uid}`;
  const loose = found.mode & ~ours.mode;
  if ((loose & 0o002) !== 0) return 'is writable by all users';
  // Kubernetes hands a volume to the pod's `fsGroup`, which is one of our groups then.
  if ((loose & 0o020) !== 0 && !ourGroups().includes(found.gid)) return `is writable by group ${found.gid}`;
  return undefined;
}

function ourGroups(): readonly (number | undefined)[] {
  return [process.getegid?.(), ...(process.getgroups?.() ?? [])];
}

/** A new folder of ours in `path`, as the file system shows it; undefined when none can be made there. */
async function probe(path: string): Promise<Ownership | undefined> {
  try {
    const made = await mkdtemp(join(path, 'probe-'));
    try {
      return await lstat(made);
    } finally {
      await rmdir(made);
    }
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function untrustedDirectory(path: string, reason: string): DatamoverError {
  return new DatamoverError('SCRATCH_UNUSABLE', `${path} ${reason}`, {
    hint: 'inspect and remove it, or choose another directory with --scratch',
  });
}
