// A file from its beginning beside its place to its own name.
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError, messageOf, systemCode } from '../errors.ts';
import { undefinedIfMissing } from '../missing.ts';
import { keepOwnership } from '../ownership.ts';
import type { FileFormat } from '../target-file-name.ts';
import { type ByteRange, KiB } from '../units.ts';
import { HeldIo } from './disk-io.ts';
import { targetFailure } from './failure.ts';
import { fileId } from './partial-file.ts';
import type { FinishedTarget, TargetSession } from './target.ts';

export interface FileParts {
  /** Of the file at `partial`, which we have just made. */
  readonly handle: FileHandle;
  /** The same file, opened with O_DIRECT; undefined where that is not possible. */
  readonly direct: FileHandle | undefined;
  readonly partial: string;
  readonly path: string;
  readonly realPath: string;
  readonly format: FileFormat;
  /** Bytes: the length of a raw file; that of a qcow2 file is whatever its image takes up. */
  readonly diskSize: number;
  /** Whether a file at `realPath` may be replaced. */
  readonly replace: boolean;
  readonly cache: CacheMode;
}

export class FileSession implements TargetSession {
  readonly driver = 'file';
  readonly isZero = true;
  readonly mask = undefined;
  readonly edges: readonly ByteRange[] = [];
  readonly tail = undefined;
  readonly writePath: string;
  readonly cache: CacheMode;
  readonly body: ByteRange;
  readonly io: HeldIo;
  readonly #parts: FileParts;

  constructor(parts: FileParts) {
    const { handle, direct, partial: path } = parts;
    // Without O_DIRECT the file is never written beyond the disk's end, which no unit may divide.
    this.io = new HeldIo({
      handle: direct ?? handle,
      direct: direct !== undefined,
      path,
      unit: direct ? DIRECT_UNIT : 1,
    });
    this.writePath = parts.partial;
    this.cache = parts.cache;
    this.body = { offset: 0, length: parts.diskSize };
    this.#parts = parts;
  }

  async flush(): Promise<void> {
    await this.#parts.handle.sync().catch((error: unknown) => {
      throw targetFailure(`cannot flush ${this.#parts.partial}`, error);
    });
  }

  async finish(): Promise<FinishedTarget> {
    const { handle, partial, path, format, diskSize } = this.#parts;
    await this.flush();
    await this.#closeIo();
    try {
      if (!(await this.#isOurs())) throw replacedMeanwhile(partial);
      const { size } = await handle.stat();
      if (format === 'raw' && size !== diskSize) throw wrongLength(partial, size, diskSize);
      const warning = await this.#takeOwnership();
      await this.#publish();
      await handle.close();
      return { warnings: warning === undefined ? [] : [warning] };
    } catch (error) {
      throw targetFailure(`cannot rename ${partial} to ${path}`, error);
    }
  }

  async abandon(): Promise<{ problem?: string }> {
    const { handle, partial } = this.#parts;
    try {
      const ours = await this.#isOurs();
      await this.#closeIo();
      await handle.close();
      if (ours) await unlink(partial);
      return {};
    } catch (error) {
      return { problem: `${partial} could not be removed: ${messageOf(error)}` };
    }
  }

  /** Idempotent: a finish that failed is followed by `abandon`. */
  async #closeIo(): Promise<void> {
    await this.io.close();
    await this.#parts.direct?.close();
  }

  async #isOurs(): Promise<boolean> {
    const { handle, partial } = this.#parts;
    const { dev, ino } = await handle.stat({ bigint: true });
    return (await fileId(partial)) === `${dev}:${ino}`;
  }

  /** The virtual machine that opened the file that is replaced opens this one as the same user. */
  async #takeOwnership(): Promise<string | undefined> {
    const { handle, path, realPath, replace } = this.#parts;
    const old = replace ? await undefinedIfMissing(lstat(realPath)) : undefined;
    if (old === undefined) return undefined;
    const now = await keepOwnership(handle, old);
    await this.flush();
    if (now.uid === old.uid && now.gid === old.gid) return undefined;
    return `${path} is owned by ${now.uid}:${now.gid}, the replaced file was owned by ${old.uid}:${old.gid}; to correct it: chown ${old.uid}:${old.gid} ${path}`;
  }

  /** The file system refuses the name where a file came to be meanwhile that may not be replaced. */
  async #publish(): Promise<void> {
    const { partial, path, realPath, replace } = this.#parts;
    const folder = dirname(realPath);
    if (replace || !(await linked(partial, { path, realPath }))) await rename(partial, realPath);
    else {
      await syncFolder(folder);
      await unlink(partial);
    }
    await syncFolder(folder);
  }
}

/** Direct writes come in whole blocks: a disk that they do not divide would get a file that is longer than it. */
export const DIRECT_UNIT = 4 * KiB;

/** False where the file system knows no hard links. */
async function linked(partial: string, { path, realPath }: Pick<FileParts, 'path' | 'realPath'>): Promise<boolean> {
  try {
    await link(partial, realPath);
    return true;
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST') throw createdMeanwhile(path, error);
    if (!WITHOUT_LINKS.has(code)) throw error;
    if ((await fileId(realPath)) !== undefined) throw createdMeanwhile(path, error);
    return false;
  }
}

/** What FAT, some network and FUSE file systems say to link(2), and a kernel that protects others' files. */
const WITHOUT_LINKS: ReadonlySet<string> = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK']);

function createdMeanwhile(path: string, cause: unknown): DatamoverError {
  return new DatamoverError(
    'TARGET_NOT_BLANK',
    `target ${path} was created by another process during the restore; not overwritten`,
    {
      hint: 'move it away, choose another target, or use --force',
      cause,
    },
  );
}

function replacedMeanwhile(partial: string): DatamoverError {
  return new DatamoverError('TARGET_BUSY', `${partial} was replaced by another process during the restore`, {
    hint: 'stop the process that writes to its directory, then run again',
  });
}

function wrongLength(partial: string, size: number, diskSize: number): DatamoverError {
  return new DatamoverError(
    'TARGET_WRITE_FAILED',
    `${partial}: size mismatch: expected ${diskSize} bytes, got ${size}`,
    {
      hint: 'restore to another file system; this one changed the length of the file',
    },
  );
}

/** A new name is on the medium only when its folder is; where a folder cannot be flushed by itself, that is all there is to do. */
export async function syncFolder(folder: string): Promise<void> {
  await syncFile(folder).catch((error: unknown) => {
    if (!WITHOUT_FOLDER_SYNC.has(systemCode(error) ?? '')) throw error;
  });
}

/** Flushes what others wrote to a file. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What some FUSE and network file systems say to fsync(2) of a folder. */
const WITHOUT_FOLDER_SYNC: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);
