// Owner, group and permissions of a file that another one replaces: whoever could open the old one must be able to open the
// new one. (POSIX ACLs, extended attributes and SELinux labels are out of Node's reach.)
import type { FileHandle } from 'node:fs/promises';
import { systemCode } from './errors.ts';

export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits, 0 … 0o777; others are ignored. */
  readonly mode: number;
}

/**
 * Gives an open file the permissions of `old`, and its owner and group as far as this process may. Gives what the file has
 * then. Rejects with the system's error, but not for what is not permitted.
 */
export async function keepOwnership(file: FileHandle, old: Ownership): Promise<Ownership> {
  // The permissions first: they are the owner's to change, and the file is about to be another user's.
  await permitted(file.chmod(old.mode & PERMISSIONS));
  const { uid, gid } = await file.stat();
  if (uid !== old.uid || gid !== old.gid) {
    const both = await permitted(file.chown(old.uid, old.gid));
    // Whoever is no root may still give a file to a group of his own.
    if (!both) await permitted(file.chown(UNCHANGED, old.gid));
  }
  const now = await file.stat();
  return { uid: now.uid, gid: now.gid, mode: now.mode & PERMISSIONS };
}

const PERMISSIONS = 0o777;
/** chown(2): this one stays as it is. */
const UNCHANGED = -1;

/**
 * False for what the system does not permit: EPERM, and what it says instead where owners do not exist (FAT, some network
 * file systems) or the old owner has no number in this user namespace.
 */
async function permitted(change: Promise<void>): Promise<boolean> {
  try {
    await change;
    return true;
  } catch (error) {
    if (NOT_PERMITTED.has(systemCode(error) ?? '')) return false;
    throw error;
  }
}

const NOT_PERMITTED: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'EINVAL',
  'EOVERFLOW',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
]);
