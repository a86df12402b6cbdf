// The names on disk: a plan's folder in scratch, its lock and journal, and how much it holds.
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export const PREFIX = 'kubevirt-datamover-';

/** Of a plan's folder. */
export const LOCK = 'lock';
export const JOURNAL = 'journal';

export function workFolderPath(root: string, planId: string): string {
  return join(root, `${PREFIX}${planId}`);
}

/** What a plan's folder holds, in bytes on disk. */
export interface ReusableBytes {
  readonly total: number;
  /** Of the plan's `index`th PVC. */
  of(index: number): number;
}

export const NOTHING_LEFT: ReusableBytes = { total: 0, of: () => 0 };

export async function measureReusable(path: string): Promise<ReusableBytes> {
  const total = await bytesOnDisk(path);
  const folders = new Map<string, number>();
  for (const name of await readdir(path)) {
    if (/^\d+$/.test(name)) folders.set(name, await bytesOnDisk(join(path, name)));
  }
  return { total, of: (index) => folders.get(String(index)) ?? 0 };
}

/** Bytes that a folder's files take up on disk, links not followed. A file that vanishes meanwhile counts as nothing. */
export async function bytesOnDisk(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) bytes += await bytesOnDisk(child);
    else bytes += ((await lstat(child).catch(() => undefined))?.blocks ?? 0) * 512;
  }
  return bytes;
}
