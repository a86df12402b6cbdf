// Which PVCs an earlier run of this plan has finished, proven on the target itself: a disk that was swapped for another
// under the same name must not pass for a restored one.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import type { CheckedChain } from '../chain/check-layers.ts';
import { crcOfRange } from '../scratch/files.ts';
import type { Journal } from '../scratch/journal.ts';
import type { FinishedDisk, Recorded } from '../scratch/journal-state.ts';
import { targetFailure } from '../target/failure.ts';
import type { Target, TargetSession } from '../target/target.ts';
import type { ByteRange } from '../units.ts';
import { alignDown, KiB, MiB } from '../units.ts';

/** How many windows of how many bytes stand for the body: 4 MiB to read, whatever the size of the disk. */
const SAMPLES = 64;
const SAMPLE_SIZE = 64 * KiB;

/** Bytes at each end that are always compared. */
const EDGE_SIZE = MiB;

export interface DiskOnTarget {
  readonly chain: CheckedChain;
  readonly target: Target;
  /** Whether all of the target was compared with the chain. */
  readonly verified: boolean;
}

/**
 * Records how the target will look once the session has finished: the run may die right after the last byte, and must
 * not find a disk then that it does not know. `edges` are those of the session, in its order.
 */
export async function recordFinishing(
  journal: Journal,
  on: DiskOnTarget,
  { session, edges }: { readonly session: TargetSession; readonly edges: readonly Uint8Array[] },
): Promise<void> {
  if (session.driver === 'file') {
    const windows = sampleWindows(on.chain.virtualSize);
    const crc = await crcOfFile(session.writePath, windows).catch((error: unknown) => {
      throw targetFailure(`cannot read ${session.writePath} back`, error);
    });
    await record(journal, on, windows, crc);
    return;
  }
  const ascending = session.edges
    .map(({ offset, length }, index) => ({ offset, length, bytes: edges[index] ?? new Uint8Array() }))
    .sort((a, b) => a.offset - b.offset);
  const windows = ascending.map(({ offset, length }) => ({ offset, length }));
  const crc = ascending.reduce((sum, { bytes }) => crc32(bytes, sum), 0);
  await record(journal, on, windows, crc);
}

/** Records that the target holds the whole disk, flushed. */
export async function recordFinished(journal: Journal, on: DiskOnTarget): Promise<void> {
  const windows = sampleWindows(on.chain.virtualSize);
  const { crc } = await on.target.checksum(windows);
  await record(journal, on, windows, crc);
}

/**
 * What the journal says of this disk when the target still looks as it was left: the same device or file, of the same
 * length, with the same bytes at both ends and in samples between. `outdated`: it was made of other versions of objects
 * than the chain has now. What shows nothing but zeros proves nothing, and is restored again.
 */
export async function findFinished(
  journal: Recorded,
  { chain, target }: Pick<DiskOnTarget, 'chain' | 'target'>,
): Promise<{ readonly disk: FinishedDisk; readonly outdated: boolean } | undefined> {
  const disk = journal.finished(chain.disk.name);
  if (disk === undefined || !isDeepStrictEqual(disk.target, { ...target.identity })) return undefined;
  if (target.kind === 'file' && (await target.length()) !== disk.virtualSize) return undefined;
  const { crc, zero } = await target.checksum(disk.windows);
  if (zero || crc !== disk.crc) return undefined;
  return { disk, outdated: disk.chain !== identityOf(chain) };
}

async function record(journal: Journal, on: DiskOnTarget, windows: readonly ByteRange[], crc: number): Promise<void> {
  const { chain, target, verified } = on;
  const { disk, virtualSize } = chain;
  const what = { disk: disk.name, chain: identityOf(chain), virtualSize, verified };
  await journal.finish({ ...what, target: { ...target.identity }, windows, crc });
}

/** The plan may name no chain at all, and no version ever: an object that was replaced makes another disk. */
function identityOf({ layers }: CheckedChain): string {
  const versions = layers.map(({ info: { key, size, etag } }) => [key, size, etag]);
  return createHash('sha256').update(JSON.stringify(versions)).digest('hex');
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

/** Both edges and samples between them, ascending; the whole of a small disk. */
function sampleWindows(virtualSize: number): ByteRange[] {
  const step = (virtualSize - 2 * EDGE_SIZE) / SAMPLES;
  if (step < SAMPLE_SIZE) return [{ offset: 0, length: virtualSize }];
  const samples = Array.from({ length: SAMPLES }, (_, index) => ({
    offset: alignDown(EDGE_SIZE + Math.floor(step * index), 4 * KiB),
    length: SAMPLE_SIZE,
  }));
  return [{ offset: 0, length: EDGE_SIZE }, ...samples, { offset: virtualSize - EDGE_SIZE, length: EDGE_SIZE }];
}
