// Compares downloaded layers with the checksums that the plan and the store declare; always before the rebase rewrites them.
import { compareChecksums, hashesToTake } from '../chain/checksums.ts';
import type { StagedLayer } from './download.ts';
import { hashFile } from './hash-file.ts';

export interface ChecksumOptions {
  /** Names the layer's object in messages. */
  readonly where: string;
  /** Bytes read so far; not called for checksums that need no reading. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

/** Bytes of the file that `checkLayerChecksums` will read: all of them when a hash is to be taken, else none. */
export function bytesToHash({ checked }: Pick<StagedLayer, 'checked'>): number {
  return hashesToTake(checked).length > 0 ? checked.info.size : 0;
}

/**
 * Checks the plan's SHA-256 and the store's full-object CRC-32, SHA-256, SHA-1, MD5 or CRC-32C. CRC-64/NVME is left out: only
 * JavaScript computes it here, slower than a disk reads. Gives the names of what was checked.
 * CHECKSUM_MISMATCH names the object and both values.
 */
export async function checkLayerChecksums(staged: StagedLayer, options: ChecksumOptions): Promise<string[]> {
  const { checked, crc32 } = staged;
  const done = compareChecksums(checked, { crc32, hashes: new Map() }, options);
  const algorithms = hashesToTake(checked);
  if (algorithms.length === 0) return done;
  const hashes = await hashFile(staged.path, algorithms, options);
  return compareChecksums(checked, { crc32, hashes }, options);
}
