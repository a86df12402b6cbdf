// One object of a directory store: opened without leaving the folder, pinned by what the file system knows of it.
import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { DatamoverError, systemCode } from '../../errors.ts';
import { exhaustion } from '../../process-limits.ts';
import { MiB } from '../../units.ts';
import { TransientError } from '../retry/policy.ts';

export interface Place {
  /** The store's folder, its links resolved. */
  readonly root: string;
  readonly path: string;
  /** The path as the user knows it, for messages. */
  readonly where: string;
}

export interface ObjectFile {
  readonly where: string;
  readonly size: number;
  /** Of the moment it was opened. */
  readonly etag: string;
  /** Of now. */
  currentEtag(): Promise<string>;
  /** Reads up to 1 MiB, so that a cancel is not waited for; 0 at the end. */
  read(room: Uint8Array, position: number): Promise<number>;
}

/**
 * Opens the object, hands it to `work`, closes it. OBJECT_MISSING, ACCESS_DENIED, or a `TransientError` for what a
 * network file system may get over.
 */
export async function withObjectFile<T>(place: Place, work: (file: ObjectFile) => Promise<T>): Promise<T> {
  const handle = await withFileErrors(place.where, () => openInside(place));
  try {
    const stats = await withFileErrors(place.where, () => handle.stat({ bigint: true }));
    if (!stats.isFile()) throw objectMissing(place.where, 'is not a regular file');
    return await work({
      where: place.where,
      size: Number(stats.size),
      etag: etagOf(stats),
      currentEtag: async () => etagOf(await withFileErrors(place.where, () => handle.stat({ bigint: true }))),
      read: async (room, position) => {
        const length = Math.min(room.length, MiB);
        return (await withFileErrors(place.where, () => handle.read(room, 0, length, position))).bytesRead;
      },
    });
  } finally {
    await handle.close();
  }
}

export function changedFile(where: string): DatamoverError {
  return new DatamoverError('OBJECT_CHANGED', `${where} changed since the run started`, {
    hint: 'wait until the process that writes to the directory has finished, then run the same command again',
  });
}

/** The real path, its links followed; ACCESS_DENIED when it lies outside of the root. */
export async function realPathInside({ root, path, where }: Place): Promise<string> {
  const real = await realpath(path);
  if (real === root || real.startsWith(root === sep ? root : root + sep)) return real;
  throw new DatamoverError('ACCESS_DENIED', `${where} is a symbolic link to a place outside the source`, {
    hint: 'copy the file itself into the directory',
  });
}

/** Runs one file system call and words its failure. */
export async function withFileErrors<T>(where: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toStoreError(error, where);
  }
}

/** No link at the end (the real path has none), no wait for a pipe's other end. */
async function openInside(place: Place): Promise<FileHandle> {
  const real = await realPathInside(place);
  return await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

/**
 * Size and modification time in ns, nothing else: sshfs, other FUSE file systems and an NFS client with a cold cache give the same file
 * another inode and device number each time, and a change of mode, owner or link count sets the change time.
 */
function etagOf({ size, mtimeNs }: BigIntStats): string {
  return `"${[size, mtimeNs].map((value) => value.toString(36)).join('-')}"`;
}

function toStoreError(error: unknown, where: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof DatamoverError) return error;
  if (code === 'ENOENT' || code === 'ENOTDIR') return objectMissing(where, 'does not exist', error);
  if (code === 'EACCES' || code === 'EPERM') {
    return new DatamoverError('ACCESS_DENIED', `${where}: permission denied (${code})`, {
      hint: 'run as a user who can read it',
      cause: error,
    });
  }
  if (code === 'ELOOP') return objectMissing(where, 'is a dangling symbolic link', error);
  const exhausted = exhaustion(error);
  return new TransientError(exhausted?.why ?? code, { fewRetries: true, hint: exhausted?.hint, cause: error });
}

function objectMissing(where: string, why: string, cause?: unknown): DatamoverError {
  return new DatamoverError('OBJECT_MISSING', `${where} ${why}`, {
    hint: 'check the directory and the name; `kubevirt-datamover list` shows what the backup contains',
    ...(cause === undefined ? {} : { cause }),
  });
}
