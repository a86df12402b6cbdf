// Which test files a run takes, and in which order.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The files that take longest, in the order in which they start: one that starts last would run alone on one core. */
export const LONGEST: readonly string[] = [
  'test/scenarios/restore-every-shape.test.ts',
  'test/scenarios/bench.test.ts',
  'test/scenarios/campaign.test.ts',
  'test/scenarios/container.test.ts',
  'test/store/s3/dialects.test.ts',
  'test/scenarios/cluster.test.ts',
  'test/scenarios/signals.test.ts',
  'test/scenarios/faults.test.ts',
  'test/scenarios/problems-together.test.ts',
  'test/scenarios/tiny-disks.test.ts',
  'test/scenarios/kills.test.ts',
  'test/store/s3/access.test.ts',
  'test/scenarios/kept.test.ts',
  'test/scenarios/hostile-images.test.ts',
  'test/store/s3/faults.test.ts',
  'test/scenarios/operator-volume.test.ts',
  'test/scenarios/no-warnings.test.ts',
  'test/scenarios/dialects.test.ts',
  'test/scenarios/lost-documents.test.ts',
  'test/scenarios/package.test.ts',
  'test/scripts/make-backup.test.ts',
  'test/scenarios/boot.test.ts',
  'test/scenarios/campaign-stores.test.ts',
  'test/scenarios/qcow2-target.test.ts',
  'test/scenarios/memory.test.ts',
  'test/scenarios/bad-input.test.ts',
  'test/scenarios/random-chains.test.ts',
  'test/scenarios/limits.test.ts',
  'test/scenarios/checksum-baseline.test.ts',
];

/**
 * Test files below the working directory, longest first. `paths`: files and directories; empty for all. `unit`: only those
 * that need nothing beyond Node, since they call `requires` nowhere. Throws the system's error for a path that does not exist.
 */
export function selectFiles(paths: readonly string[], { unit = false }: { readonly unit?: boolean } = {}): string[] {
  const files = new Set((paths.length === 0 ? ['test'] : paths).flatMap(filesUnder));
  const first = LONGEST.filter((file) => files.delete(file));
  const ordered = [...first, ...[...files].sort()];
  return unit ? ordered.filter((file) => !/\brequires(Quietly)?\(/.test(readFileSync(file, 'utf8'))) : ordered;
}

function filesUnder(path: string): string[] {
  if (!statSync(path).isDirectory()) return [join(path)];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(path, name));
}
