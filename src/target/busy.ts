// Who keeps a device from being a target: what EBUSY means here, and writers that EBUSY does not see.
import { readFile } from 'node:fs/promises';
import { DatamoverError, systemCode } from '../errors.ts';
import { blockNumber, readMounts } from './linux/mounts.ts';
import { describeOpener, findOpeners } from './linux/openers.ts';
import { deviceName, readAttribute, relatedDevices } from './linux/sysfs.ts';

export interface HeldDevice {
  readonly path: string;
  /** `major:minor` */
  readonly device: string;
  readonly signal: AbortSignal;
}

/** TARGET_BUSY for a device that cannot be held, naming what holds it where that can be found. */
export async function busyError({ path, device, signal }: HeldDevice, cause: unknown): Promise<DatamoverError> {
  const related = await relatedDevices(device);
  const uses = [...(await mountsOf(related)), ...(await swapsOf(related)), ...(await holdersOf(related))];
  if (uses.length === 0) {
    uses.push(
      ...(await findOpeners({ devices: related }, { signal })).map((opener) => `open in ${nameOpener(opener)}`),
    );
  }
  const why = uses.length === 0 ? 'the process or device that uses it is not visible from here' : uses.join('; ');
  return new DatamoverError('TARGET_BUSY', `target ${path} is in use: ${why}`, {
    hint: 'stop the virtual machine or process, or unmount the device (see `lsblk` and `fuser -v`), then run again',
    cause,
  });
}

/**
 * TARGET_BUSY when another process has the device, a partition of it or its whole open for writing: a virtual machine or
 * qemu-nbd, which an exclusive open does not see. Readers (blkid, udev) do no harm. Only processes that /proc shows us.
 */
export async function checkNoWriters({ path, device, signal }: HeldDevice): Promise<void> {
  const openers = await findOpeners({ devices: await relatedDevices(device) }, { signal });
  const writers = openers.filter((opener) => opener.writes && opener.pid !== process.pid);
  if (writers.length === 0) return;
  throw new DatamoverError(
    'TARGET_BUSY',
    `target ${path} is in use: open for writing in ${writers.map(describeOpener).join(', ')}`,
    { hint: 'stop the virtual machine or process that uses it, then run again' },
  );
}

function nameOpener(opener: Parameters<typeof describeOpener>[0]): string {
  return opener.pid === process.pid ? 'this run, for another PVC' : describeOpener(opener);
}

async function mountsOf(related: ReadonlySet<string>): Promise<string[]> {
  const uses = new Set<string>();
  for (const { device, mountPoint, source } of await readMounts()) {
    // A file system on several devices (btrfs) has a number of its own: its source is a device's path.
    const known = device.startsWith('0:') && source.startsWith('/') ? await blockNumber(source) : device;
    if (known !== undefined && related.has(known))
      uses.add(`/dev/${await deviceName(known)} is mounted on ${mountPoint}`);
  }
  return [...uses];
}

/** /proc/swaps: a heading, then a line a swap that begins with its path (proc(5)). */
async function swapsOf(related: ReadonlySet<string>): Promise<string[]> {
  const uses: string[] = [];
  for (const line of (await swapTable()).split('\n').slice(1)) {
    const path = line.split(/\s/)[0] ?? '';
    const device = path === '' ? undefined : await blockNumber(path);
    if (device !== undefined && related.has(device)) uses.push(`${path} is swap space`);
  }
  return uses;
}

async function swapTable(): Promise<string> {
  try {
    return await readFile('/proc/swaps', 'utf8');
  } catch (error) {
    // A kernel without swap; only the message would have been richer.
    if (systemCode(error) !== undefined) return '';
    throw error;
  }
}

/** Devices that the kernel made on top of it: LVM, LUKS, multipath, RAID. */
async function holdersOf(related: ReadonlySet<string>): Promise<string[]> {
  const uses: string[] = [];
  for (const device of related) {
    const mapped = await readAttribute(device, 'dm/name');
    if (mapped !== undefined) uses.push(`device-mapper's ${mapped} belongs to it`);
    else if ((await readAttribute(device, 'md/array_state')) !== undefined) {
      uses.push(`the RAID /dev/${await deviceName(device)} belongs to it`);
    }
  }
  return uses;
}
