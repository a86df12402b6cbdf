// Files that several tests need alike are made once: by the first test that asks, for all files of a run of scripts/test. A test
// file that is run by itself makes its own.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Map<string, Promise<string>>();

/**
 * The folder that `make` has filled for this `key` (anything that JSON takes), in this process or another one. Nothing in it
 * may be changed. Rejects with the error of `make`.
 */
export function sharedFolder(key: unknown, make: (folder: string) => unknown): Promise<string> {
  const name = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16);
  const folder = folders.get(name) ?? findOrMake(join(rootFolder(), name), make);
  folders.set(name, folder);
  return folder;
}

/** Two processes may make the same at once: the folder of the first that is ready gets the name. */
async function findOrMake(path: string, make: (folder: string) => unknown): Promise<string> {
  if (existsSync(path)) return path;
  const folder = mkdtempSync(`${path}-`);
  try {
    await make(folder);
    renameSync(folder, path);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (!existsSync(path)) throw error;
  }
  return path;
}

let root: string | undefined;

function rootFolder(): string {
  root ??= process.env.KUBEVIRT_DM_TEST_SHARED ?? ownFolder();
  return root;
}

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kdm-shared-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
