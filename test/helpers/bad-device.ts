// A block device that is slow, fails in places, or dies: a loop device over a file that qemu-storage-daemon serves
// through FUSE, with its throttle or blkdebug driver in between. (Device-mapper's own `error` and `delay` would do it
// too, where the kernel has device-mapper.)
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFile } from './filled.ts';
import { attachLoop, detachLoop, type LoopDevice, setWritable } from './loop-device.ts';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `badDevice`. */
export const BAD_DEVICE_TOOLS = ['root', 'losetup', 'qemu-storage-daemon', 'setpriv', '/dev/fuse'] as const;

export interface BadDeviceOptions {
  /** Bytes. */
  readonly size: number;
  readonly fill?: number;
  /** Bytes a second. */
  readonly writesPerSecond?: number;
  readonly readsPerSecond?: number;
  /** Requests of this kind that touch the sector of this byte fail, or the nth flush alone. */
  readonly fails?: {
    readonly on: 'read' | 'write' | 'flush';
    readonly at?: number;
    readonly errno?: number;
    readonly nth?: number;
  };
}

export interface BadDevice extends LoopDevice {
  /** From now on everything fails. */
  die(): Promise<void>;
}

export async function badDevice(
  t: Owner,
  { size, fill, writesPerSecond = 0, readsPerSecond = 0, fails }: BadDeviceOptions,
): Promise<BadDevice> {
  const folder = tempFolder(t);
  const [file, served] = [join(folder, 'device'), join(folder, 'served')];
  makeFile(file, size, fill);
  writeFileSync(served, '');
  const nodes = ['--blockdev', `driver=file,node-name=file,filename=${file},cache.direct=off`];
  if (writesPerSecond + readsPerSecond > 0) {
    // 0 is no limit.
    const limits = `x-bps-write=${writesPerSecond},x-bps-read=${readsPerSecond}`;
    nodes.push('--object', `throttle-group,id=group,${limits}`);
    nodes.push('--blockdev', 'driver=throttle,node-name=top,throttle-group=group,file=file');
  } else if (fails !== undefined) {
    nodes.push('--blockdev', `driver=blkdebug,node-name=debug,image=file,${faultRules(fails)}`);
    nodes.push('--blockdev', 'driver=raw,node-name=top,file=debug');
  } else {
    nodes.push('--blockdev', 'driver=raw,node-name=top,file=file');
  }
  const daemon = await startDaemon(folder, [
    ...nodes,
    '--export',
    `type=fuse,id=export,node-name=top,mountpoint=${served},writable=on,allow-other=off`,
  ]);
  const die = async (): Promise<void> => {
    if (daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = once(daemon, 'exit');
    daemon.kill('SIGKILL');
    await ended;
  };
  const path = await attachOrEnd(served, die);
  setWritable(path);
  t.teardown(async () => {
    detachLoop(path);
    // Asked to end in order it may wait for ever, once a request of its export has failed.
    await die();
    unmount(served);
  });
  return { path, file, die };
}

async function attachOrEnd(served: string, die: () => Promise<void>): Promise<string> {
  try {
    return attachLoop(served);
  } catch (error) {
    await die();
    unmount(served);
    throw error;
  }
}

/** For blkdebug; its state counts flushes, from 1 on. */
function faultRules({ on, at, errno = 5, nth }: NonNullable<BadDeviceOptions['fails']>): string {
  const rule = (text: string): string => `inject-error.0.iotype=${on},inject-error.0.errno=${errno},${text}`;
  if (nth === undefined) {
    const sector = at === undefined ? '' : `,inject-error.0.sector=${at / 512}`;
    return rule(`inject-error.0.event=none${sector}`);
  }
  const counted = Array.from({ length: nth }, (_, index) => {
    const key = `set-state.${index}`;
    return `${key}.event=flush_to_disk,${key}.state=${index + 1},${key}.new_state=${index + 2}`;
  });
  const fails = rule(`inject-error.0.event=flush_to_disk,inject-error.0.state=${nth},inject-error.0.once=on`);
  return [fails, ...counted].join(',');
}

/** Ready when it has written its pid file; ends with this process. */
async function startDaemon(folder: string, args: readonly string[]): Promise<ChildProcess> {
  // The monitor last: its greeting then comes when the export is mounted. Before it, half of all greetings come too early.
  const monitor = ['--chardev', 'stdio,id=qmp', '--monitor', 'qmp'];
  const command = ['--pdeathsig', 'KILL', '--', 'qemu-storage-daemon', ...args, ...monitor];
  const child = spawn('setpriv', command, { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(([status]) => {
      throw new Error(`qemu-storage-daemon ended with ${status}`);
    }),
  ]);
  return child;
}

/** A daemon that was killed leaves its mount. */
function unmount(path: string): void {
  try {
    execFileSync('umount', ['--lazy', path], { stdio: 'ignore' });
  } catch {
    // It unmounted itself when it ended in order.
  }
}
