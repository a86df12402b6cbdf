// One layer's file in scratch: which of its bytes are believed, and the head that a rebase rewrites.
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { LayerJournal, Part, Range } from '../scratch/journal.ts';
import { MiB } from '../units.ts';
import { DisjointRanges } from './disjoint-ranges.ts';

/** Opens or makes the file at `path` (0600, a link is refused) with exactly `size` bytes. */
export async function openLayerFile(path: string, size: number): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    await handle.truncate(size);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * The parts of the journal whose bytes were read again just now and have their CRC, in order and not overlapping.
 * Everything else has to be fetched.
 */
export async function believedParts(
  handle: FileHandle,
  journal: LayerJournal,
  { size, signal }: { readonly size: number; readonly signal: AbortSignal },
): Promise<readonly Part[]> {
  const believed: Part[] = [];
  const taken = new DisjointRanges(journal.parts);
  // The last record of a range is the newest fetch of it.
  for (const part of journal.parts.toReversed()) {
    signal.throwIfAborted();
    const fits = part.offset + part.length <= size;
    if (!fits || taken.overlaps(part) || (await crcOfRange(handle, part)) !== part.crc) continue;
    taken.add(part);
    believed.push(part);
  }
  return believed.sort((a, b) => a.offset - b.offset);
}

/** A range of the file; shorter where the file ends before. */
export async function readFileRange(path: string, { offset, length }: Range): Promise<Uint8Array> {
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

/** What `parts` (in order) leave open of [0, size), in pieces of at most `pieceSize`, cut at its multiples. */
export function missingRanges(parts: readonly Range[], size: number, pieceSize: number): Range[] {
  const missing: Range[] = [];
  const gap = (start: number, end: number): void => {
    for (let offset = start; offset < end; ) {
      const stop = Math.min(end, offset - (offset % pieceSize) + pieceSize);
      missing.push({ offset, length: stop - offset });
      offset = stop;
    }
  };
  let position = 0;
  for (const part of parts) {
    gap(position, part.offset);
    position = part.offset + part.length;
  }
  gap(position, size);
  return missing;
}

/** CRC-32 of a range of the file, going on from `crc`; a file that ends before it gives that of what is there. */
export async function crcOfRange(handle: FileHandle, { offset, length }: Range, crc = 0): Promise<number> {
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

/**
 * Keeps the first `span` bytes of the file beside it, before qemu-img rewrites them: flushed, then recorded. Trailing
 * zeros are not stored, since a cluster may have 2 MiB and its header some hundred bytes.
 */
export async function saveHead(path: string, journal: LayerJournal, span: number): Promise<void> {
  const bytes = await readFileRange(path, { offset: 0, length: span });
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const temporary = await open(`${headPath(path)}.new`, flags, 0o600);
  try {
    await temporary.writeFile(bytes.subarray(0, end));
    await temporary.datasync();
  } finally {
    await temporary.close();
  }
  await rename(`${headPath(path)}.new`, headPath(path));
  await journal.saveHead({ length: span, crc: crc32(bytes) });
}

/** Puts the saved head back, if there is a whole one, so that the parts of the first cluster can be believed again. */
export async function putHeadBack(path: string, handle: FileHandle, journal: LayerJournal): Promise<void> {
  if (journal.head === undefined) return;
  const saved = await open(headPath(path), constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
  if (saved === undefined) return;
  try {
    const bytes = Buffer.alloc(journal.head.length);
    await saved.read(bytes, 0, bytes.length, 0);
    // A head that is not whole is not put back: the first part then fails its CRC and is fetched again.
    if (crc32(bytes) === journal.head.crc) await handle.write(bytes, 0, bytes.length, 0);
  } finally {
    await saved.close();
  }
}

const headPath = (path: string): string => `${path}.head`;
