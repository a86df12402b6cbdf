// The backup in the repository, restored to raw files; its checksums were computed from the true disks.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type Owner, tempFolder } from './tmp.ts';

export const FIXTURE_BUCKET = fileURLToPath(new URL('../../fixtures/bucket/', import.meta.url));
const SUMS = fileURLToPath(new URL('../../fixtures/SHA256SUMS', import.meta.url));

export interface FixturePlan {
  readonly path: string;
  /** The folder that plan, scratch and targets are in. */
  readonly folder: string;
  readonly scratch: string;
  /** By disk: whether its target is the true disk, or what it is instead. */
  targets(): Readonly<Record<string, 'restored' | 'missing' | 'wrong'>>;
}

/** A plan of the newest backup's `disks`, onto `targets` or else files of the test's own. */
export function fixturePlan(
  t: Owner,
  disks: readonly string[] = ['rootdisk', 'datadisk'],
  targets: Readonly<Record<string, string>> = {},
): FixturePlan {
  const folder = tempFolder(t);
  const targetOf = (disk: string): string => targets[disk] ?? join(folder, `${disk}.raw`);
  const scratch = join(folder, 'scratch');
  const path = join(folder, 'plan.yaml');
  const pvcs = disks.map((name) => ({ name, target: targetOf(name) }));
  const source = { directory: FIXTURE_BUCKET };
  writeFileSync(
    path,
    stringify({ version: 1, source, scratch: { path: scratch }, backup: 'backup-004', vm: 'demo/web', pvcs }),
  );
  const stateOf = (disk: string): 'restored' | 'missing' | 'wrong' => {
    if (!existsSync(targetOf(disk))) return 'missing';
    const sum = createHash('sha256')
      .update(readFileSync(targetOf(disk)))
      .digest('hex');
    return readFileSync(SUMS, 'utf8').includes(`${sum}  cp-004/${disk}.raw`) ? 'restored' : 'wrong';
  };
  return { path, folder, scratch, targets: () => Object.fromEntries(disks.map((disk) => [disk, stateOf(disk)])) };
}
