// What lies right under a folder of a directory store.
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatamoverError, systemCode } from '../../errors.ts';
import type { ListEntry } from '../store.ts';
import { type Place, realPathInside, worded } from './file.ts';

/**
 * The objects and folders right under `place`, keys beginning with `prefix`; by key within each kind, as S3 orders
 * (by bytes). Nothing when there is no such folder. What is neither file nor folder, or leads out, is no object.
 */
export async function listFolder(place: Place, prefix: string, signal: AbortSignal): Promise<ListEntry[]> {
  const names = await namesIn(place);
  const objects: ListEntry[] = [];
  const prefixes: ListEntry[] = [];
  for (const name of names) {
    signal.throwIfAborted();
    const entry = await entryOf(place, name, prefix);
    if (entry?.kind === 'object') objects.push(entry);
    if (entry?.kind === 'prefix') prefixes.push(entry);
  }
  return [...prefixes, ...objects];
}

async function namesIn(place: Place): Promise<Dirent[]> {
  try {
    const entries = await readdir(await realPathInside(place), { withFileTypes: true });
    return entries.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    return await worded(place.where, () => Promise.reject(error));
  }
}

async function entryOf(place: Place, entry: Dirent, prefix: string): Promise<ListEntry | undefined> {
  const key = `${prefix}${entry.name}`;
  if (entry.isDirectory()) return { kind: 'prefix', key: `${key}/` };
  try {
    const path = join(place.path, entry.name);
    const real = entry.isSymbolicLink() ? await realPathInside({ ...place, path }) : path;
    const stats = await stat(real);
    if (stats.isDirectory()) return { kind: 'prefix', key: `${key}/` };
    return stats.isFile() ? { kind: 'object', key, size: stats.size } : undefined;
  } catch (error) {
    // Gone meanwhile, a link to nowhere or one that leads out: nothing that `head` would find either.
    if (error instanceof DatamoverError || systemCode(error) !== undefined) return undefined;
    throw error;
  }
}
