// Makes folders that are missing. Not by `mkdir(…, { recursive: true })`, which never returns where the kernel answers ENOENT
// to every mkdir, as /proc does (seen with Node 24).
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
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
