// Which PVCs an earlier run of this plan completed. What is recorded and looked at are both ends of the target and samples
// between them: enough to notice another disk under the same name, no proof that the disk is still what was restored.
import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import type { CheckedChain } from '../chain/check-layers.ts';
import { undefinedIfMissing } from '../missing.ts';
import { crcOfRange } from '../scratch/files.ts';
import type { Journal } from '../scratch/journal.ts';
import type { CompletedDisk, Recorded } from '../scratch/journal-state.ts';
import { targetFailure } from '../target/failure.ts';
import type { Target, TargetSession } from '../target/target.ts';
import { alignDown, type ByteRange, KiB, MiB } from '../units.ts';

/** How many windows of how many bytes stand for the body: 4 MiB to read, whatever the size of the disk. */
const SAMPLES = 64;
const SAMPLE_SIZE = 64 * KiB;

/** Bytes at each end that are always compared. */
const EDGE_SIZE = MiB;

export interface DiskOnTarget {
  readonly chain: CheckedChain;
  readonly target: Target;
}

export interface RestoredDisk extends DiskOnTarget {
  /** The run that restores it. */
  readonly runId: string;
}

/**
 * Records how the target will look once the session has finished: the run may die right after the last byte, and must
 * not find a disk then that it does not know. `edges` are those of the session, in its order.
 */
export async function recordExpected(
  journal: Journal,
  on: RestoredDisk,
  { session, edges }: { readonly session: TargetSession; readonly edges: readonly Uint8Array[] },
): Promise<void> {
  if (session.driver === 'file') {
    const length = await imageLength(on, session.writePath);
    const windows = sampleWindows(length ?? on.chain.virtualSize);
    const crc = await crcOfFile(session.writePath, windows).catch((error: unknown) => {
      throw targetFailure(`cannot read ${session.writePath} back`, error);
    });
    await record(journal, on, { length, windows, crc, expected: true, inode: await inodeOf(session.writePath) });
    return;
  }
  const ascending = session.edges
    .map(({ offset, length }, index) => ({ offset, length, bytes: edges[index] ?? new Uint8Array() }))
    .sort((a, b) => a.offset - b.offset);
  const windows = ascending.map(({ offset, length }) => ({ offset, length }));
  const crc = ascending.reduce((sum, { bytes }) => crc32(bytes, sum), 0);
  await record(journal, on, { windows, crc, expected: true });
}

/** Records that the target holds all of the disk, flushed. */
export async function recordCompleted(journal: Journal, on: RestoredDisk): Promise<void> {
  const { chain, target } = on;
  const length = await imageLength(on, target.realPath);
  const windows = sampleWindows(length ?? chain.virtualSize);
  const { crc } = await target.checksum(windows);
  await record(journal, on, {
    length,
    windows,
    crc,
    inode: target.kind === 'file' ? await inodeOf(target.realPath) : undefined,
  });
}

/** `same`: no difference where it was looked at. `outdated`: the same, but made of other objects than the chain has now. */
export interface Look {
  readonly state: 'same' | 'changed' | 'outdated';
  readonly disk: CompletedDisk;
}

/**
 * Looks at the target of a PVC that the journal says an earlier run completed: its length, both ends, and samples between.
 * Undefined when the journal knows nothing of this device or file, or when what is there cannot be told from a new one:
 * a blank target, or one on which the run stopped before its last bytes.
 */
export async function findCompleted(journal: Recorded, { chain, target }: DiskOnTarget): Promise<Look | undefined> {
  const disk = completedOn(journal, { chain, target });
  if (disk === undefined) return undefined;
  const length = target.kind === 'file' ? await target.length() : disk.virtualSize;
  if (length === undefined) return undefined;
  const sameFile =
    target.kind === 'file' && disk.inode !== undefined && (await inodeOf(target.realPath)) === disk.inode;
  // A file of that name which the run has not put there yet may be an earlier restore of the same backup.
  if (disk.expected && target.kind === 'file' && !sameFile) return undefined;
  const { crc, zero } = await target.checksum(disk.windows);
  // A new target shows nothing but zeros too.
  if (zero && !sameFile) return undefined;
  if (length === (disk.length ?? disk.virtualSize) && crc === disk.crc) {
    return { state: disk.chain === chainDigest(chain) ? 'same' : 'outdated', disk };
  }
  const wasWritten = disk.restoredBy !== undefined && !disk.expected;
  return wasWritten ? { state: 'changed', disk } : undefined;
}

/** What the journal says of this PVC on this very device or file; the target is not read. */
export function completedOn(journal: Recorded, { chain, target }: DiskOnTarget): CompletedDisk | undefined {
  const disk = journal.completed(chain.disk.name);
  return disk !== undefined && isDeepStrictEqual(disk.target, { ...target.identity }) ? disk : undefined;
}

async function record(
  journal: Journal,
  { chain, target, runId }: RestoredDisk,
  found: Pick<CompletedDisk, 'length' | 'windows' | 'crc' | 'expected' | 'inode'>,
): Promise<void> {
  const { disk, virtualSize } = chain;
  const restoredBy = { runId, finishedAt: new Date().toISOString() };
  const what = { disk: disk.name, chain: chainDigest(chain), virtualSize, restoredBy };
  await journal.complete({ ...what, target: { ...target.identity }, ...found });
}

/** The plan may name no chain at all, and no version ever: an object that was replaced makes another disk. */
function chainDigest({ layers }: CheckedChain): string {
  const versions = layers.map(({ info: { key, size, etag } }) => [key, size, etag]);
  return createHash('sha256').update(JSON.stringify(versions)).digest('hex');
}

/** Bytes of a qcow2 file; undefined for a target that is as long as the disk, or longer. */
async function imageLength({ target }: DiskOnTarget, path: string): Promise<number | undefined> {
  if (target.format !== 'qcow2') return undefined;
  const { size } = await stat(path).catch((error: unknown) => {
    throw targetFailure(`cannot inspect ${path}`, error);
  });
  return size;
}

/** Undefined where there is no file. */
async function inodeOf(path: string): Promise<string | undefined> {
  const found = await undefinedIfMissing(stat(path, { bigint: true })).catch((error: unknown) => {
    throw targetFailure(`cannot inspect ${path}`, error);
  });
  return found && String(found.ino);
}

async function crcOfFile(path: string, windows: readonly ByteRange[]): Promise<number> {
  const handle = await open(path, 'r');
  try {
    let crc = 0;
    for (const window of windows) crc = await crcOfRange(handle, window, crc);
    return crc;
  } finally {
    await handle.close();
  }
}

/** Both edges and samples between them, ascending; all of a small disk. */
function sampleWindows(virtualSize: number): ByteRange[] {
  const step = (virtualSize - 2 * EDGE_SIZE) / SAMPLES;
  if (step < SAMPLE_SIZE) return [{ offset: 0, length: virtualSize }];
  const samples = Array.from({ length: SAMPLES }, (_, index) => ({
    offset: alignDown(EDGE_SIZE + Math.floor(step * index), 4 * KiB),
    length: SAMPLE_SIZE,
  }));
  return [{ offset: 0, length: EDGE_SIZE }, ...samples, { offset: virtualSize - EDGE_SIZE, length: EDGE_SIZE }];
}
