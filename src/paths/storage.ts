// What the bytes of a path are stored on in the end: block devices, and files behind loop devices.
import { stat } from 'node:fs/promises';
import { systemCode } from '../errors.ts';
import { blockNumber, type Mount } from '../target/linux/mounts.ts';
import { deviceNumber, readUncertain, relatedDevices } from '../target/linux/sysfs.ts';

export interface Storage {
  /** Every block device that shares bytes with it, `major:minor`. */
  readonly devices: ReadonlySet<string>;
  /** Files behind loop devices among them: device and inode → path. */
  readonly files: ReadonlyMap<string, string>;
  /** Of `files`, those whose bytes the device shows; the others hold a file system in between. */
  readonly shown: ReadonlySet<string>;
}

export const NO_STORAGE: Storage = { devices: new Set(), files: new Map(), shown: new Set() };

interface Found {
  readonly devices: Set<string>;
  readonly files: Map<string, string>;
  readonly shown: Set<string>;
}

/** Of a block device, all the way down: through file systems, too, that a file behind a loop device is in. */
export async function storageOfDevice(device: string, mounts: readonly Mount[]): Promise<Storage> {
  const found: Found = { devices: new Set(), files: new Map(), shown: new Set() };
  await addRelated(device, mounts, found, true);
  return found;
}

/** Of a file or directory, by the device number of its file system (`st_dev`). */
export async function storageOfFileSystem(dev: bigint, mounts: readonly Mount[]): Promise<Storage> {
  const device = await deviceOfFileSystem(dev, mounts);
  return device === undefined ? NO_STORAGE : await storageOfDevice(device, mounts);
}

async function addRelated(device: string, mounts: readonly Mount[], found: Found, shown: boolean): Promise<void> {
  for (const related of await relatedDevices(device)) {
    if (found.devices.has(related)) continue;
    found.devices.add(related);
    await spreadBehind(related, mounts, found, shown);
  }
}

/** What a loop device shows may be a file, or another block device, which the kernel counts among no device's slaves. */
async function spreadBehind(device: string, mounts: readonly Mount[], found: Found, shown: boolean): Promise<void> {
  const path = await readUncertain(device, 'loop/backing_file');
  if (path === undefined || path === '') return;
  const behind = await stat(path, { bigint: true }).catch((error: unknown) => {
    // Removed, or in another mount namespace: then no path of ours leads to it.
    if (systemCode(error) === undefined) throw error;
    return undefined;
  });
  if (behind === undefined) return;
  if (behind.isBlockDevice()) return await addRelated(deviceNumber(behind.rdev), mounts, found, shown);
  const id = `${behind.dev}:${behind.ino}`;
  found.files.set(id, path);
  if (shown) found.shown.add(id);
  const below = await deviceOfFileSystem(behind.dev, mounts);
  if (below !== undefined && !found.devices.has(below)) await addRelated(below, mounts, found, false);
}

/** A file system with a device number of its own (btrfs, overlay) names its device, if it has one, in the mount table. */
async function deviceOfFileSystem(dev: bigint, mounts: readonly Mount[]): Promise<string | undefined> {
  const number = deviceNumber(dev);
  if (!number.startsWith('0:')) return number;
  const source = mounts.find(({ device }) => device === number)?.source;
  return source?.startsWith('/') ? await blockNumber(source) : undefined;
}
