// Lists a directory of a directory store.
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatamoverError, systemCode } from '../../errors.ts';
import type { ListEntry } from '../store.ts';
import { type Place, realPathInside, withFileErrors } from './file.ts';

/**
 * The objects and directories directly under `place`, keys starting with `prefix`; by key within each kind, as S3 orders
 * (by bytes). Nothing when the directory does not exist. Sockets, pipes, devices, and links that lead nowhere or out of the
 * root are no objects. ACCESS_DENIED, or a `TransientError` for errors that a network file system may recover from.
 */
export async function listFolder(place: Place, prefix: string, signal: AbortSignal): Promise<ListEntry[]> {
  const names = await entriesIn(place);
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

async function entriesIn(place: Place): Promise<Dirent[]> {
  try {
    const entries = await readdir(await realPathInside(place), { withFileTypes: true });
    return entries.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    return await withFileErrors(place.where, () => Promise.reject(error));
  }
}

async function entryOf(place: Place, entry: Dirent, prefix: string): Promise<ListEntry | undefined> {
  const key = `${prefix}${entry.name}`;
  if (entry.isDirectory()) return { kind: 'prefix', key: `${key}/` };
  const isLink = entry.isSymbolicLink();
  const path = join(place.path, entry.name);
  try {
    const stats = await stat(isLink ? await realPathInside({ ...place, path }) : path);
    if (stats.isDirectory()) return { kind: 'prefix', key: `${key}/` };
    return stats.isFile() ? { kind: 'object', key, size: stats.size } : undefined;
  } catch (error) {
    if (isLink ? leadsNowhere(error) : systemCode(error) === 'ENOENT') return undefined;
    // Passed over, an object would count as missing from the backup.
    return await withFileErrors(join(place.where, entry.name), () => Promise.reject(error));
  }
}

/** Whether a link's target does not exist or is outside of the root, where `head` does not look either. */
function leadsNowhere(error: unknown): boolean {
  if (error instanceof DatamoverError) return true;
  return NOWHERE.has(systemCode(error) ?? '');
}

const NOWHERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM']);
