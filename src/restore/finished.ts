// Which PVCs an earlier run of this plan has finished, proven on the target itself: a disk that was swapped for another
// under the same name must not pass for a restored one.
import { open } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import type { Target, TargetSession } from '../target/target.ts';
import { alignDown, KiB, MiB } from '../units.ts';
import type { Journal, Range } from './journal.ts';
import { crcOfRange } from './layer-file.ts';

/** How many windows of how many bytes stand for the body: 4 MiB to read, whatever the size of the disk. */
const SAMPLES = 64;
const SAMPLE_SIZE = 64 * KiB;
/** Bytes at each end that are always compared. */
const EDGE_SIZE = MiB;

export interface DiskOnTarget {
  readonly disk: string;
  readonly target: Target;
  /** Bytes. */
  readonly virtualSize: number;
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
    const windows = sampleWindows(on.virtualSize);
    await record(journal, on, windows, await crcOfFile(session.writePath, windows));
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
  const windows = sampleWindows(on.virtualSize);
  const { crc } = await on.target.checksum(windows);
  await record(journal, on, windows, crc);
}

/**
 * Whether the journal says that this disk was finished and the target still shows it: the same device, and the same
 * bytes at both ends and in samples between. What shows nothing but zeros proves nothing, and is restored again.
 */
export async function isFinished(journal: Journal, { disk, target, virtualSize }: DiskOnTarget): Promise<boolean> {
  const known = journal.finished(disk);
  if (known === undefined || known.virtualSize !== virtualSize) return false;
  if (!isDeepStrictEqual(known.target, { ...target.identity })) return false;
  const { crc, zero } = await target.checksum(known.windows);
  return !zero && crc === known.crc;
}

async function record(journal: Journal, on: DiskOnTarget, windows: readonly Range[], crc: number): Promise<void> {
  const { disk, target, virtualSize } = on;
  await journal.finish({ disk, target: { ...target.identity }, virtualSize, windows, crc });
}

async function crcOfFile(path: string, windows: readonly Range[]): Promise<number> {
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
function sampleWindows(virtualSize: number): Range[] {
  const step = (virtualSize - 2 * EDGE_SIZE) / SAMPLES;
  if (step < SAMPLE_SIZE) return [{ offset: 0, length: virtualSize }];
  const samples = Array.from({ length: SAMPLES }, (_, index) => ({
    offset: alignDown(EDGE_SIZE + Math.floor(step * index), 4 * KiB),
    length: SAMPLE_SIZE,
  }));
  return [{ offset: 0, length: EDGE_SIZE }, ...samples, { offset: virtualSize - EDGE_SIZE, length: EDGE_SIZE }];
}
