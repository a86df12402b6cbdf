// A qcow2 file as a target: created before the disk is converted into it, its tables checked afterwards.
import { stat } from 'node:fs/promises';
import { examineWritten } from '../chain/examine.ts';
import type { QemuDisk } from '../chain/virtual-disk.ts';
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError, messageOf } from '../errors.ts';
import { createImage } from '../qemu/create.ts';
import { fileNode } from '../qemu/graph.ts';
import { readFileRange } from '../scratch/files.ts';
import { targetFailure } from '../target/failure.ts';
import type { Target, TargetSession } from '../target/target.ts';
import type { ByteRange } from '../units.ts';
import type { Run } from './options.ts';

/** Turns the session's empty file into an empty image of the disk's size; nothing for other targets. */
export async function prepareImage(
  { options, signal }: Run,
  { writePath: path }: TargetSession,
  { target, disk }: { readonly target: Target; readonly disk: Pick<QemuDisk, 'size'> },
): Promise<void> {
  if (target.format !== 'qcow2') return;
  await createImage({ path, size: disk.size, zstd: options.compress ?? false, name: target.path, signal });
}

/** Compressed clusters start and end at any byte: past the page cache, each write would read a block back. */
export function writeCache({ options }: Run, { cache }: TargetSession, { format }: Target): CacheMode {
  return format === 'qcow2' && options.compress === true ? 'writeback' : cache;
}

/**
 * TARGET_WRITE_FAILED unless the tables of a flushed image are consistent, without leaks, and inside its file. `qemu-img convert` writes
 * the last of them when it closes the image.
 */
export async function checkWritten({ signal }: Run, { writePath }: TargetSession, target: Target): Promise<void> {
  if (target.format !== 'qcow2') return;
  const { size: fileSize } = await stat(writePath).catch((error: unknown) => {
    throw targetFailure(`cannot inspect ${writePath}`, error);
  });
  const read = async (range: ByteRange): Promise<Uint8Array> =>
    await readFileRange(writePath, range).catch((error: unknown) => {
      throw targetFailure(`cannot read ${writePath} back`, error);
    });
  const { state } = await examineWritten({
    image: fileNode(writePath),
    fileSize,
    read,
    where: target.path,
    signal,
  }).catch((error: unknown) => {
    const isInvalid = error instanceof DatamoverError && error.code === 'IMAGE_CORRUPT';
    throw isInvalid ? invalidImage(messageOf(error), error) : error;
  });
  if (state === 'leaks') throw invalidImage(`${target.path}: no table names some of the clusters in use`);
}

function invalidImage(why: string, cause?: unknown): DatamoverError {
  return new DatamoverError('TARGET_WRITE_FAILED', `${why} (checked after it was written)`, {
    hint: 'check the kernel log (`dmesg`) and the file system, then run the same command again',
    cause,
  });
}
