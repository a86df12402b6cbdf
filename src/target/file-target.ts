// A raw file as a target: written beside its place under another name, and given its own when it is whole.
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, stat, statfs, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { DatamoverError, messageOf, systemCode } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { MiB } from '../units.ts';
import { targetFailure } from './failure.ts';
import type { Range } from './layout.ts';
import { describeOpener, findOpeners } from './openers.ts';
import type { BeginOptions, BlankOptions, Target, TargetIdentity, TargetSession } from './target.ts';
import { isZero } from './zero-bytes.ts';

export interface OpenFileOptions {
  readonly path: string;
  readonly realPath: string;
  readonly exists: boolean;
  readonly partialTag: string;
  readonly signal: AbortSignal;
}

/** TARGET_BUSY when another process has an existing file open for writing. */
export async function openFileTarget(options: OpenFileOptions): Promise<Target> {
  if (options.exists) await checkNotWritten(options);
  return new FileTarget(options);
}

async function checkNotWritten({ path, realPath, signal }: OpenFileOptions): Promise<void> {
  const { dev, ino } = await stat(realPath, { bigint: true });
  const writers = (await findOpeners({ file: { dev, ino } }, { signal })).filter(({ writes }) => writes);
  if (writers.length === 0) return;
  throw new DatamoverError(
    'TARGET_BUSY',
    `target ${path} is in use: open for writing in ${writers.map(describeOpener).join(', ')}`,
    {
      hint: 'stop the virtual machine or program that uses it (losetup -j names a loop device), and run again',
    },
  );
}

class FileTarget implements Target {
  readonly kind = 'file';
  readonly path: string;
  readonly realPath: string;
  readonly capacity = undefined;
  readonly fastZero = true;
  readonly identity: TargetIdentity;
  readonly #partialPath: string;

  constructor({ path, realPath, partialTag }: OpenFileOptions) {
    this.path = path;
    this.realPath = realPath;
    this.identity = { kind: 'file', place: realPath, size: null, medium: null };
    this.#partialPath = `${realPath}.${partialTag}.partial`;
  }

  checkSize(): void {
    // A file grows as needed; its file system's room is checked with all other space.
  }

  async freeSpace(): Promise<{ bytes: number; device: number }> {
    const folder = await existing(dirname(this.realPath));
    const [{ bavail, bsize }, { dev }] = await Promise.all([statfs(folder), stat(folder)]);
    return { bytes: bavail * bsize + (await this.#leftBytes()), device: dev };
  }

  async checkBlank({ force }: BlankOptions): Promise<'blank' | 'overwrite'> {
    const found = await lstat(this.realPath).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw targetFailure(`cannot look at target ${this.path}`, error);
    });
    if (found === undefined) return 'blank';
    if (force) return 'overwrite';
    throw new DatamoverError('TARGET_NOT_BLANK', `target ${this.path} exists already (${found.size} bytes)`, {
      hint: 'move it away, name another file, or replace it with --force',
    });
  }

  async checksum(ranges: readonly Range[]): Promise<{ crc: number; zero: boolean }> {
    const handle = await open(this.realPath, 'r').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw targetFailure(`cannot read target ${this.path}`, error);
    });
    if (handle === undefined) return { crc: 0, zero: true };
    try {
      return await checksumOf(handle, ranges);
    } finally {
      await handle.close();
    }
  }

  async begin({ diskSize }: BeginOptions): Promise<TargetSession> {
    const partial = this.#partialPath;
    try {
      await makeFolders(dirname(partial), 0o700);
      // A run of this very plan that was killed left it; nobody else uses this name.
      await unlink(partial).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
      });
      const handle = await open(
        partial,
        constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      );
      const session = new FileSession({
        handle,
        partial,
        path: this.path,
        realPath: this.realPath,
        diskSize,
        // Direct writes come in whole blocks, and would leave a file that is longer than such a disk.
        cache: diskSize % DIRECT_UNIT === 0 ? await cacheFor(partial) : 'writeback',
      });
      await handle.truncate(diskSize).catch(async (error: unknown) => {
        await session.abandon();
        throw error;
      });
      return session;
    } catch (error) {
      throw targetFailure(`cannot make ${partial}`, error);
    }
  }

  async close(): Promise<void> {
    // Nothing is held on a file before it is begun.
  }

  async #leftBytes(): Promise<number> {
    return ((await lstat(this.#partialPath).catch(() => undefined))?.blocks ?? 0) * 512;
  }
}

async function checksumOf(handle: FileHandle, ranges: readonly Range[]): Promise<{ crc: number; zero: boolean }> {
  const buffer = Buffer.alloc(MiB);
  let crc = 0;
  let zero = true;
  for (const { offset, length } of ranges) {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
      if (bytesRead === 0) break;
      const bytes = buffer.subarray(0, bytesRead);
      crc = crc32(bytes, crc);
      zero &&= isZero(bytes);
      done += bytesRead;
    }
  }
  return { crc, zero };
}

/** The nearest folder that is there. */
async function existing(folder: string): Promise<string> {
  const found = await stat(folder).catch(() => undefined);
  return found !== undefined || dirname(folder) === folder ? folder : await existing(dirname(folder));
}

/** The largest block that a file system is likely to want direct writes in. */
const DIRECT_UNIT = 4096;

/** Some file systems (tmpfs before Linux 6.6, some FUSE) refuse O_DIRECT. */
async function cacheFor(path: string): Promise<'none' | 'writeback'> {
  try {
    await (await open(path, constants.O_RDWR | constants.O_DIRECT)).close();
    return 'none';
  } catch (error) {
    if (systemCode(error) === 'EINVAL') return 'writeback';
    throw error;
  }
}

interface FileParts {
  readonly handle: FileHandle;
  readonly partial: string;
  readonly path: string;
  readonly realPath: string;
  readonly diskSize: number;
  readonly cache: 'none' | 'writeback';
}

class FileSession implements TargetSession {
  readonly driver = 'file';
  readonly isZero = true;
  readonly mask = undefined;
  readonly edges: readonly Range[] = [];
  readonly tail = undefined;
  readonly writePath: string;
  readonly cache: 'none' | 'writeback';
  readonly body: Range;
  readonly #parts: FileParts;

  constructor(parts: FileParts) {
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

  async finish(): Promise<void> {
    const { handle, partial, path, realPath } = this.#parts;
    await this.flush();
    try {
      const [held, named] = await Promise.all([handle.stat({ bigint: true }), stat(partial, { bigint: true })]);
      if (held.ino !== named.ino || held.dev !== named.dev) {
        throw new DatamoverError('TARGET_BUSY', `${partial} was replaced by somebody else while it was written`, {
          hint: 'find out who writes there, end that, and run again',
        });
      }
      if (held.size !== BigInt(this.#parts.diskSize)) {
        throw new DatamoverError(
          'TARGET_WRITE_FAILED',
          `${partial} has ${held.size} bytes, the disk ${this.#parts.diskSize}`,
          {
            hint: 'the file system changed its length: restore onto another one',
          },
        );
      }
      await rename(partial, realPath);
      await syncFolder(dirname(realPath));
      await handle.close();
    } catch (error) {
      throw targetFailure(`cannot give ${path} its name`, error);
    }
  }

  async abandon(): Promise<{ problem?: string }> {
    const { handle, partial } = this.#parts;
    try {
      await handle.close();
      await unlink(partial);
      return {};
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return {};
      return { problem: `${partial} could not be removed: ${messageOf(error)}` };
    }
  }
}

/** A new name is on the medium only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
