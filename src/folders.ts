// Directories that are missing: created, or resolved as far as they exist. Not by `mkdir(…, { recursive: true })`, which never
// returns where the kernel answers ENOENT to every mkdir, as /proc does (seen with Node 24).
import { mkdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { systemCode } from './errors.ts';

/**
 * Makes `path` and the parents that it lacks, each with `mode`; an existing folder's mode is left alone. Gives the topmost one
 * that was made, undefined when `path` was there. Rejects with the system's error; ENOTDIR when something else is in the way.
 */
export async function makeFolders(path: string, mode: number): Promise<string | undefined> {
  const missing: string[] = [];
  let there = path;
  while (!(await isFolder(there))) {
    missing.unshift(there);
    there = dirname(there);
  }
  for (const folder of missing) {
    await mkdir(folder, { mode }).catch((error: unknown) => {
      // Somebody else made it in between.
      if (systemCode(error) !== 'EEXIST') throw error;
    });
  }
  return missing[0];
}

async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && dirname(path) !== path) return false;
    throw error;
  }
  throw Object.assign(new Error(`${path} is not a directory`), { code: 'ENOTDIR' });
}

/** Links resolved as far as `path` can be inspected, and the names below that. Never rejects for what a path is. */
export async function resolveExisting(
  path: string,
): Promise<{ readonly real: string; readonly missing: readonly string[] }> {
  const real = await realpath(path).catch((error: unknown) => {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  });
  if (real !== undefined || dirname(path) === path) return { real: real ?? path, missing: [] };
  const above = await resolveExisting(dirname(path));
  return { real: above.real, missing: [...above.missing, basename(path)] };
}
