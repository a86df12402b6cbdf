// Ranges of files in scratch: reading, hashing, and creating files that take up no space yet.
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { ByteRange } from '../units.ts';
import { MiB } from '../units.ts';

/** A range of the file; shorter where the file ends before. */
export async function readFileRange(path: string, { offset, length }: ByteRange): Promise<Uint8Array> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Makes a file (0600) of `size` bytes that takes up no space yet, in the place of whatever lies at `path`. */
export async function makeSparseFile(path: string, size: number): Promise<void> {
  await rm(path, { force: true });
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
}

/** CRC-32 of a range of the file, going on from `crc`; a file that ends before it gives that of what is there. */
export async function crcOfRange(handle: FileHandle, { offset, length }: ByteRange, crc = 0): Promise<number> {
  const buffer = Buffer.allocUnsafe(Math.min(MiB, length));
  let sum = crc;
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (bytesRead === 0) break;
    sum = crc32(buffer.subarray(0, bytesRead), sum);
    done += bytesRead;
  }
  return sum;
}
