// Compares the checksums of a layer's bytes with what the plan and the store declare of them.
import { DatamoverError } from '../errors.ts';
import type { CheckedLayer } from './check-layers.ts';

/** Which hashes of the whole object, by the names that `hashFile` knows, can be compared with something. */
export function hashesToTake({ layer, info }: CheckedLayer): readonly string[] {
  const stored = storedHash(info.checksums);
  return [...new Set([...(layer.sha256 === undefined ? [] : ['sha256']), ...(stored ? [stored.algorithm] : [])])];
}

/** Compares what was computed with what the plan and the store declare; as `checkLayerChecksums`. */
export function compareChecksums(
  { layer, info }: CheckedLayer,
  { crc32, hashes }: { readonly crc32: number; readonly hashes: ReadonlyMap<string, string> },
  options: { readonly where: string },
): string[] {
  const done: string[] = [];
  const storedCrc = info.checksums.find(({ algorithm }) => algorithm === 'crc32');
  if (storedCrc !== undefined) {
    expectSame('crc32', 'the store', storedCrc.hex, crc32.toString(16).padStart(8, '0'), options);
    done.push('crc32');
  }
  const stored = storedHash(info.checksums);
  for (const [algorithm, hex] of hashes) {
    if (algorithm === 'sha256' && layer.sha256 !== undefined) {
      expectSame(algorithm, 'the plan', layer.sha256, hex, options);
    }
    if (stored?.algorithm === algorithm) expectSame(algorithm, 'the store', stored.hex, hex, options);
    done.push(algorithm);
  }
  return done;
}

/** The strongest hash that the store keeps: one is read for, and `crc32` is known from the download. */
function storedHash(checksums: CheckedLayer['info']['checksums']) {
  const kept = (name: string) => checksums.find(({ algorithm }) => algorithm === name);
  return kept('sha256') ?? kept('sha1') ?? kept('md5') ?? (kept('crc32') === undefined ? kept('crc32c') : undefined);
}

function expectSame(
  algorithm: string,
  origin: string,
  expected: string,
  actual: string,
  { where }: { readonly where: string },
): void {
  if (actual === expected) return;
  throw new DatamoverError(
    'CHECKSUM_MISMATCH',
    `${where}: ${algorithm} mismatch: expected ${expected} (from ${origin}), got ${actual}`,
    {
      hint: 'restore the object from another copy of the bucket, or choose a backup that does not need it',
    },
  );
}
