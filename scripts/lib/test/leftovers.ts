// What a run of the tests has left behind, found by its temp folder: processes, mounts, loop devices, files.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** The folder in a run's TMPDIR of what its tests share. */
export const SHARED = 'shared';

/** Ends and removes what still belongs to `folder`, which was the run's TMPDIR; returns a line for each thing found. */
export async function removeLeftovers(folder: string): Promise<string[]> {
  const found: string[] = [];
  // What ends with its test process, as the S3 server does, may take a moment to do so.
  for (let waited = 0; waited < 5000 && processesOf(folder).length > 0; waited += 100) await delay(100);
  for (const { pid, name } of processesOf(folder)) {
    found.push(`process ${pid}: ${name}`);
    attempt(() => process.kill(pid, 'SIGKILL'));
  }
  for (const mount of mountsUnder(folder)) {
    found.push(`mount ${mount}`);
    attempt(() => execFileSync('umount', ['--lazy', mount]));
  }
  for (const { device, file } of loopDevicesOf(folder)) {
    found.push(`loop device ${device} of ${file}`);
    attempt(() => execFileSync('losetup', ['--detach', device]));
  }
  // Compile caches are those of the test runner, the compiler and npm, for whoever runs them next.
  const files = readdirSync(folder).filter((name) => name !== SHARED && !/^(v8|node)-compile-cache/.test(name));
  for (const name of files) found.push(`file ${join(folder, name)}`);
  return found;
}

/** Everything that the run started carries its TMPDIR in the environment, whoever its parent is now. */
function processesOf(folder: string): { readonly pid: number; readonly name: string }[] {
  const found = [];
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const environment = readText(`/proc/${entry}/environ`);
    if (!environment.split('\0').includes(`TMPDIR=${folder}`)) continue;
    found.push({ pid: Number(entry), name: readText(`/proc/${entry}/cmdline`).replaceAll('\0', ' ').trim() });
  }
  return found;
}

/** Innermost first, so that each can be unmounted. */
function mountsUnder(folder: string): string[] {
  const mounts = readText('/proc/self/mounts').split('\n');
  return mounts
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

function loopDevicesOf(folder: string): { readonly device: string; readonly file: string }[] {
  const devices = readdirSync('/sys/block').filter((name) => name.startsWith('loop'));
  return devices
    .map((name) => ({ device: `/dev/${name}`, file: readText(`/sys/block/${name}/loop/backing_file`).trim() }))
    .filter(({ file }) => file.startsWith(`${folder}/`));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A process that has just ended, or a loop device without a file: nothing of ours.
    return '';
  }
}

function attempt(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    // It is told as left over all the same; why it could not be removed is worth a line.
    console.log(`  ${error instanceof Error ? error.message : String(error)}`);
  }
}
