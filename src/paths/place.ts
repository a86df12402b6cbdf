// What a path leads to, by device and inode: the same for every name, link, mount and descriptor of one file.
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../errors.ts';
import { resolveExisting } from '../folders.ts';
import { type Mount, readMounts } from '../target/linux/mounts.ts';
import { deviceNumber } from '../target/linux/sysfs.ts';
import { type MountPath, mountPathOf } from './mount-path.ts';
import { NO_STORAGE, type Storage, storageOfDevice, storageOfFileSystem } from './storage.ts';

export interface Place {
  readonly kind: 'file' | 'directory' | 'block' | 'other' | 'missing';
  /** Device and inode, or a block device's number; undefined where nothing exists. */
  readonly id: string | undefined;
  /** `major:minor` of a block device. */
  readonly block: string | undefined;
  /** Names below the nearest directory that exists; none for what exists. */
  readonly missing: readonly string[];
  /** The nearest directory that exists, links resolved, and the ids of it and of all above it. */
  readonly directory: string;
  readonly directories: readonly string[];
  readonly mounted: MountPath | undefined;
  readonly storage: Storage;
}

/** Reads places for one comparison; what the kernel says of mounts and devices is asked once. */
export class PlaceReader {
  #mounts: Promise<readonly Mount[]> | undefined;
  readonly #storage = new Map<string, Promise<Storage>>();
  readonly #ids = new Map<string, Promise<string | undefined>>();

  /** Never rejects for what a path is: one that cannot be looked at counts as missing. */
  async read(path: string): Promise<Place> {
    const found = await statOf(path);
    const { real, missing } = await resolveExisting(path);
    const exists = found !== undefined;
    // What exists but has no path any more (a descriptor of a removed file) has a name all the same.
    const directory = exists || missing.length === 0 ? dirname(real) : real;
    const mounted = await this.#mountPath(exists ? path : directory);
    return {
      kind: kindOf(found),
      id: idOf(found),
      block: found?.isBlockDevice() ? deviceNumber(found.rdev) : undefined,
      missing: exists ? [] : missing,
      directory,
      directories: await this.#idsAbove(directory),
      mounted: mounted && !exists ? { ...mounted, path: join(mounted.path, ...missing) } : mounted,
      storage: await this.#storageOf(found ?? (await statOf(directory))),
    };
  }

  async #mountPath(path: string): Promise<MountPath | undefined> {
    return await mountPathOf(path, await this.#ownMounts());
  }

  #ownMounts(): Promise<readonly Mount[]> {
    this.#mounts ??= readMounts();
    return this.#mounts;
  }

  async #idsAbove(directory: string): Promise<string[]> {
    const ids: string[] = [];
    for (let here = directory; ; here = dirname(here)) {
      const id = await this.#idOf(here);
      if (id !== undefined) ids.push(id);
      if (dirname(here) === here) return ids;
    }
  }

  #idOf(directory: string): Promise<string | undefined> {
    const known = this.#ids.get(directory) ?? statOf(directory).then(idOf);
    this.#ids.set(directory, known);
    return known;
  }

  async #storageOf(found: BigIntStats | undefined): Promise<Storage> {
    if (found === undefined) return NO_STORAGE;
    const block = found.isBlockDevice();
    const key = block ? `block ${found.rdev}` : `on ${found.dev}`;
    const mounts = await this.#ownMounts();
    const known =
      this.#storage.get(key) ??
      (block ? storageOfDevice(deviceNumber(found.rdev), mounts) : storageOfFileSystem(found.dev, mounts));
    this.#storage.set(key, known);
    return await known;
  }
}

/** A place of which the identity alone counts, as for an object of a source, whose directory is a place by itself. */
export async function readPlaceIdentity(path: string): Promise<Place> {
  const found = await statOf(path);
  const nowhere = { block: undefined, missing: [], directory: '', directories: [], mounted: undefined };
  return { ...nowhere, kind: kindOf(found), id: idOf(found), storage: NO_STORAGE };
}

/**
 * Whether two names that differ by case alone are one file in `directory`: asked of a name that exists there. Of an empty
 * directory its own name is asked, in the directory above; of a file system's empty root, its type tells.
 */
export async function ignoresCase(directory: string): Promise<boolean> {
  for (const name of await namesInDirectory(directory)) {
    const other = swapCase(name);
    if (other === name) continue;
    const [one, two] = await Promise.all([lstatId(join(directory, name)), lstatId(join(directory, other))]);
    return one !== undefined && one === two;
  }
  const parent = dirname(directory);
  const [here, above] = await Promise.all([statOf(directory), statOf(parent)]);
  if (parent === directory || here?.dev !== above?.dev) return await isOfOtherSystem(directory);
  const other = swapCase(basename(directory));
  if (other === basename(directory)) return await ignoresCase(parent);
  return idOf(here) === (await lstatId(join(parent, other)));
}

/** Types (statfs(2)) of file systems that come from systems without case, or may: NFS and ext4 show what is set. */
const OTHER_SYSTEMS: ReadonlySet<number> = new Set([
  0x4d44, 0x2011bab0, 0x5346544e, 0x7366746e, 0xff534d42, 0xfe534d42, 0x517b, 0x65735546, 0x482b, 0x4244, 0x01021997,
]);

async function isOfOtherSystem(directory: string): Promise<boolean> {
  const type = (await statfs(directory).catch(ignoreSystem))?.type;
  return type !== undefined && OTHER_SYSTEMS.has(type >>> 0);
}

/** Equal for names that a file system without case takes for one (APFS and HFS+ take composed letters for one, too). */
export function foldCase(name: string): string {
  return name.normalize('NFC').toLowerCase();
}

function swapCase(name: string): string {
  return name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase();
}

async function namesInDirectory(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(ignoreSystem)) ?? [];
}

async function lstatId(path: string): Promise<string | undefined> {
  return idOf(await lstat(path, { bigint: true }).catch(ignoreSystem));
}

async function statOf(path: string): Promise<BigIntStats | undefined> {
  return await stat(path, { bigint: true }).catch(ignoreSystem);
}

function ignoreSystem(error: unknown): undefined {
  // What cannot be looked at can be neither read nor written: whoever opens it says why.
  if (systemCode(error) === undefined) throw error;
  return undefined;
}

function idOf(found: BigIntStats | undefined): string | undefined {
  if (found === undefined) return undefined;
  return found.isBlockDevice() ? `block ${found.rdev}` : `${found.dev}:${found.ino}`;
}

function kindOf(found: BigIntStats | undefined): Place['kind'] {
  if (found === undefined) return 'missing';
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  return found.isBlockDevice() ? 'block' : 'other';
}
