// One layer's file in scratch: which of its bytes are believed, and the head that a rebase rewrites.
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { crcOfRange, readFileRange } from '../scratch/files.ts';
import type { LayerJournal } from '../scratch/journal.ts';
import type { Part } from '../scratch/journal-state.ts';
import type { ByteRange } from '../units.ts';
import { withoutTrailingZeros } from '../zeros.ts';
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

/** Makes the file one hole of `size` bytes. */
export async function emptyLayerFile(handle: FileHandle, size: number): Promise<void> {
  await handle.truncate(0);
  await handle.truncate(size);
}

/**
 * The parts of the journal whose bytes were read again just now and have their CRC, in order and not overlapping.
 * Everything else has to be fetched.
 */
export async function verifiedParts(
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

/** What `parts` (in order) leave open of [0, size), in pieces of at most `pieceSize`, cut at its multiples. */
export function missingRanges(parts: readonly ByteRange[], size: number, pieceSize: number): ByteRange[] {
  const missing: ByteRange[] = [];
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

/**
 * Keeps the first `span` bytes of the file beside it, before qemu-img rewrites them: flushed, then recorded. Trailing
 * zeros are not stored, since a cluster may have 2 MiB and its header some hundred bytes.
 */
export async function saveFirstCluster(path: string, journal: LayerJournal, span: number): Promise<void> {
  const bytes = await readFileRange(path, { offset: 0, length: span });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const temporary = await open(`${headPath(path)}.new`, flags, 0o600);
  try {
    await temporary.writeFile(withoutTrailingZeros(bytes));
    await temporary.datasync();
  } finally {
    await temporary.close();
  }
  await rename(`${headPath(path)}.new`, headPath(path));
  await journal.saveFirstCluster({ length: span, crc: crc32(bytes) });
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
