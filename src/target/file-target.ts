// A file as a target: written beside its place under another name, and given its own when it is whole.
import { constants } from 'node:fs';
import { access, type FileHandle, lstat, open, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { cacheModeOf } from '../direct-io.ts';
import { DatamoverError, systemCode } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { type FreeSpace, freeSpaceAt } from '../free-space.ts';
import { undefinedIfMissing } from '../missing.ts';
import { type FileFormat, fileFormatOf } from '../target-file-name.ts';
import { type ByteRange, MiB } from '../units.ts';
import { type Checksum, ChecksumOfPieces } from './checksum.ts';
import { type DiskIo, HeldIo, reopen } from './disk-io.ts';
import { targetFailure, withDetail } from './failure.ts';
import { DIRECT_UNIT, type FileParts, FileSession, syncFile, syncFolder } from './file-session.ts';
import { describeOpener, findOpeners } from './linux/openers.ts';
import { isSameFile, partialPathOf } from './partial-file.ts';
import type { BeginOptions, BlankOptions, Target, TargetIdentity, TargetSession } from './target.ts';

export interface OpenFileOptions {
  readonly path: string;
  readonly realPath: string;
  readonly exists: boolean;
  readonly partialTag: string;
  readonly signal: AbortSignal;
}

/**
 * TARGET_BUSY when another process has an existing file open for writing, TARGET_DENIED when none can be made beside it.
 */
export async function openFileTarget(options: OpenFileOptions): Promise<Target> {
  if (options.exists) {
    await checkReplaceable(options);
    await checkNotWritten(options);
  }
  return new FileTarget(options);
}

/** Reading too: a folder is opened for it, so that a new name in it can be flushed. */
export const FOLDER_RIGHTS = constants.R_OK | constants.W_OK | constants.X_OK;

async function checkReplaceable({ path, realPath }: OpenFileOptions): Promise<void> {
  const folder = dirname(realPath);
  await access(folder, FOLDER_RIGHTS).catch((error: unknown) => {
    throw targetFailure(`cannot replace target ${path} in ${folder}`, error);
  });
}

/** TARGET_BUSY when a process has the file at `realPath`, if there is one, open for writing. */
async function checkNotWritten({
  path,
  realPath,
  signal,
}: Pick<OpenFileOptions, 'path' | 'realPath' | 'signal'>): Promise<void> {
  const found = await stat(realPath, { bigint: true }).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw targetFailure(`cannot inspect target ${path}`, error);
  });
  if (found === undefined) return;
  const openers = await findOpeners({ file: { dev: found.dev, ino: found.ino } }, { signal });
  const writers = openers.filter(({ writes }) => writes);
  if (writers.length === 0) return;
  throw new DatamoverError(
    'TARGET_BUSY',
    `target ${path} is in use: ${realPath} is open for writing in ${writers.map(describeOpener).join(', ')}`,
    {
      hint: 'stop the virtual machine or process that uses it (`losetup -j FILE` shows a loop device), then run again',
    },
  );
}

class FileTarget implements Target {
  readonly kind = 'file';
  readonly format: FileFormat;
  readonly path: string;
  readonly realPath: string;
  readonly written: readonly string[];
  readonly capacity = undefined;
  readonly fastZero = true;
  readonly sectorSize = 512;
  readonly identity: TargetIdentity;
  readonly #partialPath: string;

  constructor({ path, realPath, partialTag }: OpenFileOptions) {
    this.path = path;
    this.realPath = realPath;
    this.format = fileFormatOf(path);
    this.identity = { kind: 'file', place: realPath, size: null, medium: null };
    this.#partialPath = partialPathOf(realPath, partialTag);
    this.written = [realPath, this.#partialPath];
  }

  checkSize(): void {
    // A file grows as needed; its file system's room is checked with all other space.
  }

  async freeSpace(): Promise<{ space: FreeSpace; leftBytes: number }> {
    return { space: await freeSpaceAt(dirname(this.realPath)), leftBytes: await this.#leftBytes() };
  }

  async checkBlank({ force }: BlankOptions): Promise<'blank' | 'overwrite'> {
    const found = await this.#unlessMissing('inspect', lstat(this.realPath));
    if (found === undefined) return 'blank';
    if (force) return 'overwrite';
    throw new DatamoverError('TARGET_NOT_BLANK', `target ${this.path} already exists (${found.size} bytes)`, {
      hint: 'move it away, choose another file, or add --force to replace it',
    });
  }

  async checksum(ranges: readonly ByteRange[]): Promise<Checksum> {
    const handle = await this.#unlessMissing('read', open(this.realPath, 'r'));
    if (handle === undefined) return { crc: 0, zero: true };
    try {
      return await checksumOf(handle, ranges);
    } catch (error) {
      throw targetFailure(`cannot read target ${this.path}`, error);
    } finally {
      await handle.close();
    }
  }

  async begin({ diskSize, replace, signal }: BeginOptions): Promise<TargetSession> {
    const partial = this.#partialPath;
    // Hours may have passed since the check; and another run of this plan, with scratch elsewhere, writes the same file.
    for (const realPath of [this.realPath, partial]) await checkNotWritten({ path: this.path, realPath, signal });
    try {
      await makeFolders(dirname(partial), 0o700);
      // A run of this very plan that was killed left it.
      await undefinedIfMissing(unlink(partial));
      const handle = await open(
        partial,
        constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      );
      const { path, realPath, format } = this;
      return await this.#start({ handle, partial, path, realPath, format, diskSize, replace });
    } catch (error) {
      throw targetFailure(`cannot create ${partial}`, error);
    }
  }

  async #start(parts: Omit<FileParts, 'cache' | 'direct'>): Promise<TargetSession> {
    const { handle, partial, format, diskSize } = parts;
    try {
      if (format === 'raw') await handle.truncate(diskSize);
      const cache = format === 'qcow2' || diskSize % DIRECT_UNIT === 0 ? await cacheModeOf(partial) : 'writeback';
      const direct = cache === 'none' ? await reopen(handle, constants.O_RDWR | constants.O_DIRECT) : undefined;
      return new FileSession({ ...parts, cache, direct });
    } catch (error) {
      const { problem } = await new FileSession({ ...parts, cache: 'writeback', direct: undefined }).abandon();
      throw withDetail(targetFailure(`cannot create ${partial}`, error), problem);
    }
  }

  async reading<T>(work: (io: Pick<DiskIo, 'unit' | 'read'>) => Promise<T>): Promise<T> {
    const { path, realPath } = this;
    const handle = await openToRead(realPath).catch((error: unknown) => {
      throw targetFailure(`cannot read target ${path}`, error);
    });
    const io = new HeldIo({ ...handle, path, unit: DIRECT_UNIT });
    try {
      return await work(io);
    } finally {
      await io.close();
      await handle.handle.close();
    }
  }

  async length(): Promise<number | undefined> {
    const found = await this.#unlessMissing('inspect', stat(this.realPath));
    return found?.size;
  }

  async syncCompleted(): Promise<void> {
    try {
      await syncFile(this.realPath);
      if (await isSameFile(this.#partialPath, this.realPath)) await unlink(this.#partialPath);
      await syncFolder(dirname(this.realPath));
    } catch (error) {
      throw targetFailure(`cannot flush ${this.path}`, error);
    }
  }

  async close(): Promise<void> {
    // Nothing is held on a file before it is begun.
  }

  async #unlessMissing<T>(verb: string, operation: Promise<T>): Promise<T | undefined> {
    return await undefinedIfMissing(operation).catch((error: unknown) => {
      throw targetFailure(`cannot ${verb} target ${this.path}`, error);
    });
  }

  async #leftBytes(): Promise<number> {
    return ((await lstat(this.#partialPath).catch(() => undefined))?.blocks ?? 0) * 512;
  }
}

async function openToRead(path: string): Promise<{ handle: FileHandle; direct: boolean }> {
  const direct = (await cacheModeOf(path)) === 'none';
  return { handle: await open(path, constants.O_RDONLY | (direct ? constants.O_DIRECT : 0)), direct };
}

async function checksumOf(handle: FileHandle, ranges: readonly ByteRange[]): Promise<Checksum> {
  const buffer = Buffer.alloc(MiB);
  const checksum = new ChecksumOfPieces();
  for (const { offset, length } of ranges) {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
      if (bytesRead === 0) break;
      checksum.add(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
  }
  return checksum.result();
}
