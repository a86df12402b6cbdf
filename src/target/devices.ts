// Where a target's path leads, before either of two targets is opened: a device that is held cannot be opened again.
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { blockNumber } from './linux/mounts.ts';

/** Equal for two paths of one device or file. */
export async function placeOf(path: string): Promise<string> {
  const device = await blockNumber(path);
  if (device !== undefined) return device;
  return await realpath(path).catch(() => resolve(path));
}
