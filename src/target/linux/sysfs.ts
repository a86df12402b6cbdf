// What the kernel tells of block devices under /sys, and how they lie on each other.
import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { systemCode } from '../../errors.ts';

/** A device number as sysfs and mountinfo write it, `major:minor` (glibc's sysmacros.h: 12 + 20 bits, split). */
export function deviceNumber(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** An attribute of a block device, trimmed; undefined where the kernel has none, or sysfs is not there. */
export async function readAttribute(device: string, name: string): Promise<string | undefined> {
  const folder = await deviceFolder(device);
  return folder === undefined ? undefined : await readAttributeText(`${folder}/${name}`);
}

/** As `readAttribute`, of one that the device itself may be asked for: why it does not answer (EIO, EPERM) is no matter. */
export async function readUncertain(device: string, name: string): Promise<string | undefined> {
  try {
    return await readAttribute(device, name);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** An attribute of the device's request queue, a whole number; a partition has its disk's. */
export async function readQueueNumber(device: string, name: string): Promise<number | undefined> {
  const text =
    (await readAttribute(device, `queue/${name}`)) ??
    // The folder above a partition's is its disk's.
    (await readAttribute(device, `../queue/${name}`));
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}

/** The kernel's name of a device (`sda1`), or its number where sysfs does not know it. */
export async function deviceName(device: string): Promise<string> {
  const folder = await deviceFolder(device);
  return folder === undefined ? device : basename(folder);
}

/**
 * Every block device that shares bytes with `device`: itself, what it lies on (a partition's disk, slaves of dm and md),
 * and what lies on it (partitions, holders), each all the way. Two partitions of one disk are not among each other's.
 */
export async function relatedDevices(device: string): Promise<Set<string>> {
  const related = new Set([device]);
  await addReachable(device, lowerDevices, related);
  await addReachable(device, upperDevices, related);
  return related;
}

async function addReachable(
  device: string,
  next: (device: string) => Promise<string[]>,
  into: Set<string>,
): Promise<void> {
  for (const neighbour of await next(device)) {
    if (into.has(neighbour)) continue;
    into.add(neighbour);
    await addReachable(neighbour, next, into);
  }
}

async function lowerDevices(device: string): Promise<string[]> {
  const folder = await deviceFolder(device);
  if (folder === undefined) return [];
  const disk = (await readAttribute(device, 'partition')) === undefined ? undefined : await numberOf(dirname(folder));
  return [...(disk === undefined ? [] : [disk]), ...(await numbersUnder(`${folder}/slaves`))];
}

async function upperDevices(device: string): Promise<string[]> {
  const folder = await deviceFolder(device);
  if (folder === undefined) return [];
  const partitions: string[] = [];
  for (const name of await namesIn(folder)) {
    const number = name.startsWith(basename(folder)) ? await numberOf(`${folder}/${name}`) : undefined;
    if (number !== undefined) partitions.push(number);
  }
  return [...partitions, ...(await numbersUnder(`${folder}/holders`))];
}

async function numbersUnder(folder: string): Promise<string[]> {
  const numbers: string[] = [];
  for (const name of await namesIn(folder)) {
    const number = await numberOf(`${folder}/${name}`);
    if (number !== undefined) numbers.push(number);
  }
  return numbers;
}

async function numberOf(folder: string): Promise<string | undefined> {
  return await readAttributeText(`${folder}/dev`);
}

async function readAttributeText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

async function deviceFolder(device: string): Promise<string | undefined> {
  return (await realFolder(`/sys/dev/block/${device}`)) ?? (await findByNumber(device));
}

/** Podman hides /sys/dev/block from containers, but not the devices: they are looked through one by one. */
async function findByNumber(device: string): Promise<string | undefined> {
  for (const name of await namesIn('/sys/class/block')) {
    const folder = `/sys/class/block/${name}`;
    if ((await numberOf(folder)) === device) return await realFolder(folder);
  }
  return undefined;
}

async function realFolder(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Attributes come and go with devices, and some cannot be read in their state (EINVAL, ENXIO): all are "not there". */
function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL', 'EACCES'].includes(systemCode(error) ?? '');
}
