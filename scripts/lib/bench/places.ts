// Where restores go: loop devices over memory, and a scratch file system of its own, so that the machine's disk does not
// decide and what lies in scratch can be told.
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '../run-tool.ts';

/** Not aborted by anything: what came to be must be taken away. */
const NEVER = new AbortController().signal;

/** Runs `work` with `sizes.length` blank loop devices. */
export async function withDevices<T>(
  folder: string,
  sizes: readonly number[],
  work: (paths: readonly string[]) => Promise<T>,
): Promise<T> {
  const files: string[] = [];
  const paths: string[] = [];
  try {
    for (const [index, size] of sizes.entries()) {
      const file = join(folder, targetFile(index));
      files.push(file);
      await makeFile(file, size);
      paths.push(await attach(file));
    }
    return await work(paths);
  } finally {
    for (const path of paths) await runTool('losetup', ['--detach', path], { signal: NEVER });
    for (const file of files) await rm(file, { force: true });
  }
}

/** The name of the file behind the device at `index`. */
export function targetFile(index: number): string {
  return `target-${index}`;
}

export async function flushDevice(path: string): Promise<void> {
  await runTool('blockdev', ['--flushbufs', path], { signal: NEVER });
}

/** Makes a device read as zeros again, and gives its memory back. */
export async function makeBlank(path: string): Promise<void> {
  await flushDevice(path);
  await runTool('blkdiscard', ['--force', path], { signal: NEVER });
}

/** Runs `work` with an empty scratch folder, a tmpfs of its own. */
export async function withScratch<T>(folder: string, work: (path: string) => Promise<T>): Promise<T> {
  const path = join(folder, 'scratch');
  await mkdir(path, { recursive: true });
  await runTool('mount', ['-t', 'tmpfs', '-o', 'size=100%', 'kdm-bench', path], { signal: NEVER });
  try {
    return await work(path);
  } finally {
    await runTool('umount', ['--lazy', path], { signal: NEVER });
  }
}

const THROTTLE = '/sys/fs/cgroup/blkio';

/**
 * Runs `work` with a scratch folder on ext4 on a loop device that reads and writes no more than `rate` bytes a second.
 * The throttle is that of cgroup v1's root, which page cache write-back does not escape.
 */
export async function withSlowScratch<T>(
  folder: string,
  { size, rate }: { readonly size: number; readonly rate: number },
  work: (path: string) => Promise<T>,
): Promise<T> {
  const path = join(folder, 'slow-scratch');
  await mkdir(path, { recursive: true });
  const file = join(folder, 'slow-scratch.img');
  await makeFile(file, size);
  const device = await attach(file);
  try {
    await runTool('mkfs.ext4', ['-q', '-O', '^has_journal', '-E', 'lazy_itable_init=0', device], { signal: NEVER });
    await runTool('mount', [device, path], { signal: NEVER });
    await throttle(device, rate);
    return await work(path);
  } finally {
    await throttle(device, 0);
    await runTool('umount', ['--lazy', path], { signal: NEVER });
    await runTool('losetup', ['--detach', device], { signal: NEVER });
    await rm(file, { force: true });
  }
}

/** Whether this kernel lets us throttle a device. */
export async function canThrottle(): Promise<boolean> {
  return (await readFile(`${THROTTLE}/blkio.throttle.write_bps_device`, 'utf8').catch(() => undefined)) !== undefined;
}

async function throttle(device: string, rate: number): Promise<void> {
  const name = device.replace('/dev/', '');
  const number = (await readFile(`/sys/block/${name}/dev`, 'utf8')).trim();
  for (const way of ['read', 'write']) {
    await writeFile(`${THROTTLE}/blkio.throttle.${way}_bps_device`, `${number} ${rate}\n`);
  }
}

async function attach(file: string): Promise<string> {
  const { stdout } = await runTool('losetup', ['--find', '--show', file], { signal: NEVER });
  const path = stdout.trim();
  // Whoever had this device before may have left it read-only.
  await runTool('blockdev', ['--setrw', path], { signal: NEVER });
  return path;
}

async function makeFile(path: string, size: number): Promise<void> {
  const file = await open(path, 'w');
  await file.truncate(size);
  await file.close();
}
