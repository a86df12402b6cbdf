// Compares downloaded layers with what the plan and the store declare of them; always before the rebase rewrites them.
import { DatamoverError } from '../errors.ts';
import type { StagedLayer } from '../staged/download.ts';
import { hashFile } from '../staged/hash-file.ts';
import type { CheckedLayer } from './check-layers.ts';

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
 * Checks the plan's SHA-256 and the store's full-object CRC-32, SHA-256 or SHA-1. CRC-32C and CRC-64/NVME are left out:
 * only JavaScript computes them here, slower than a disk reads. Gives the names of what was checked.
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

/** Which hashes of the whole object, by their names in OpenSSL, can be compared with something. */
export function hashesToTake({ layer, info }: CheckedLayer): readonly string[] {
  const stored = storedHash(info.checksums);
  return [...new Set([...(layer.sha256 === undefined ? [] : ['sha256']), ...(stored ? [stored.algorithm] : [])])];
}

/** Compares what was computed with what the plan and the store declare; as `checkLayerChecksums`. */
export function compareChecksums(
  { layer, info }: CheckedLayer,
  { crc32, hashes }: { readonly crc32: number; readonly hashes: ReadonlyMap<string, string> },
  options: Pick<ChecksumOptions, 'where'>,
): string[] {
  const done: string[] = [];
  const storedCrc = info.checksums.find(({ algorithm }) => algorithm === 'crc32');
  if (storedCrc !== undefined) {
    expectSame('crc32', "the store's", storedCrc.hex, crc32.toString(16).padStart(8, '0'), options);
    done.push('crc32');
  }
  const stored = storedHash(info.checksums);
  for (const [algorithm, hex] of hashes) {
    if (algorithm === 'sha256' && layer.sha256 !== undefined) {
      expectSame(algorithm, "the plan's", layer.sha256, hex, options);
    }
    if (stored?.algorithm === algorithm) expectSame(algorithm, "the store's", stored.hex, hex, options);
    done.push(algorithm);
  }
  return done;
}

function storedHash(checksums: CheckedLayer['info']['checksums']) {
  return (
    checksums.find(({ algorithm }) => algorithm === 'sha256') ?? checksums.find(({ algorithm }) => algorithm === 'sha1')
  );
}

function expectSame(
  algorithm: string,
  whose: string,
  expected: string,
  actual: string,
  { where }: Pick<ChecksumOptions, 'where'>,
): void {
  if (actual === expected) return;
  throw new DatamoverError(
    'CHECKSUM_MISMATCH',
    `${where}: its ${algorithm} is ${actual}, ${whose} is ${expected}: the bytes are not those that were backed up`,
    {
      hint: 'the object was damaged or replaced: take another copy of it, or restore from a backup that does not need it',
    },
  );
}
