// Names of devices: where a target's path leads, before either of two targets is opened (a device that is held cannot be opened
// again), and what else a device is called.
import { readdir, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { blockNumber } from './linux/mounts.ts';

/** Equal for two paths of one device or file. */
export async function placeOf(path: string): Promise<string> {
  const device = await blockNumber(path);
  if (device !== undefined) return device;
  return await realpath(path).catch(() => resolve(path));
}

/**
 * The names under /dev/disk/by-id that lead to a block device, sorted: made by udev of model and serial, and the same after a reboot
 * or on another host. None where there is no udev, as in most containers.
 */
export async function stableNames(path: string, folder = '/dev/disk/by-id'): Promise<readonly string[]> {
  const device = await blockNumber(path);
  const links = await readdir(folder).catch(() => []);
  const numbers = await Promise.all(links.map((name) => blockNumber(join(folder, name))));
  return links.filter((_, index) => device !== undefined && numbers[index] === device).sort();
}
