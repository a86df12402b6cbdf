// The demo's targets: a loop device for the root disk where this machine lets us have one, files otherwise.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../../../src/units.ts';
import { runTool } from '../run-tool.ts';
import type { DiskName } from './bucket.ts';

export interface Targets {
  readonly paths: Readonly<Record<DiskName, string>>;
  /** In words, for newcomers. */
  readonly description: string;
}

/** As large as the disk; a pod gets a device of at least that size. */
const DEVICE_SIZE = 64 * MiB;

/** Runs `work` with targets in `folder`; no loop device is left when this returns, however it does. */
export async function withTargets<T>(folder: string, work: (targets: Targets) => Promise<T>): Promise<T> {
  const backing = join(folder, 'device.img');
  const datadisk = join(folder, 'datadisk.raw');
  const file = `datadisk → ${datadisk}, a raw file`;
  try {
    const device = await attach(backing);
    if (device !== undefined) {
      const rootdisk = `rootdisk → ${device}, a block device, which is what a pod is given`;
      return await work({ paths: { rootdisk: device, datadisk }, description: `${rootdisk}\n${file}` });
    }
    const path = join(folder, 'rootdisk.raw');
    const rootdisk = `rootdisk → ${path}, also a raw file, since this machine has no loop device`;
    return await work({ paths: { rootdisk: path, datadisk }, description: `${rootdisk}\n${file}` });
  } finally {
    await detach(backing);
  }
}

/** Not aborted by anything: a device that came to be must be known here. */
const NEVER = new AbortController().signal;

async function attach(backing: string): Promise<string | undefined> {
  const file = await open(backing, 'w');
  await file.truncate(DEVICE_SIZE);
  await file.close();
  try {
    const { stdout } = await runTool('losetup', ['--find', '--show', backing], { signal: NEVER });
    return stdout.trim();
  } catch {
    // No root, no loop driver, no free device: a file shows the same, and the words say so.
    return undefined;
  }
}

/** Asks for whatever hangs on the file, since an interrupted losetup may have attached it and died before it told us. */
async function detach(backing: string): Promise<void> {
  let devices: string[];
  try {
    const { stdout } = await runTool('losetup', ['--noheadings', '--output', 'NAME', '-j', backing], { signal: NEVER });
    devices = stdout.split('\n').filter((line) => line !== '');
  } catch {
    // A machine without losetup or loop driver has no device of ours.
    return;
  }
  for (const device of devices) await runTool('losetup', ['--detach', device.trim()], { signal: NEVER });
}
