// Which processes have a device or a file open, as far as /proc lets us see: O_EXCL does not see a virtual machine.
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { mapBounded } from '../../concurrency.ts';
import { systemCode } from '../../errors.ts';
import { RemoteFiles } from './remote-files.ts';
import { deviceNumber } from './sysfs.ts';

export interface Opener {
  readonly pid: number;
  readonly program: string;
  readonly writes: boolean;
}

/** What is looked for: block devices by number, and one file by its file system and inode. */
export interface OpenFile {
  readonly devices?: ReadonlySet<string>;
  readonly file?: { readonly dev: bigint; readonly ino: bigint };
}

/** The processes that have it open, our own among them. Others' descriptors are seen by root and their own user only. */
export async function findOpeners(thing: OpenFile, options: { readonly signal: AbortSignal }): Promise<Opener[]> {
  const pids = (await namesInProc('/proc')).filter((name) => /^\d+$/.test(name));
  const bounds = { limit: PROCESSES_AT_A_TIME, signal: options.signal };
  const remote = new RemoteFiles();
  const found = await mapBounded(pids, bounds, (pid) => openerOf(pid, thing, remote));
  return found.filter((opener) => opener !== undefined);
}

/** `process 4711 (qemu-system-x86)`. */
export function describeOpener(opener: Opener): string {
  return `process ${opener.pid} (${opener.program})`;
}

async function openerOf(pid: string, thing: OpenFile, remote: RemoteFiles): Promise<Opener | undefined> {
  let writes: boolean | undefined;
  for (const fd of await namesInProc(`/proc/${pid}/fd`)) {
    if (!(await isSafeToStat(pid, fd, thing, remote))) continue;
    if (!(await matches(`/proc/${pid}/fd/${fd}`, thing))) continue;
    writes = writes === true || (await canWrite(`/proc/${pid}/fdinfo/${fd}`));
  }
  if (writes === undefined) return undefined;
  return { pid: Number(pid), program: (await textOf(`/proc/${pid}/comm`)).trim() || '?', writes };
}

/** Whether a descriptor can be what is looked for, and asking after it cannot take for ever. */
async function isSafeToStat(pid: string, fd: string, { file }: OpenFile, remote: RemoteFiles): Promise<boolean> {
  const leadsTo = await linkOf(`/proc/${pid}/fd/${fd}`);
  // `socket:[4711]`, `pipe:[4711]`, `anon_inode:[eventpoll]`.
  if (leadsTo === undefined || /^[a-z_]+:/.test(leadsTo)) return false;
  if (leadsTo.startsWith('/dev/')) return true;
  const mount = await remote.mountOf(pid, fd);
  return mount === undefined || (file !== undefined && mount.device === deviceNumber(file.dev));
}

async function linkOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

async function matches(path: string, { devices, file }: OpenFile): Promise<boolean> {
  try {
    const found = await stat(path, { bigint: true });
    if (found.isBlockDevice()) return devices?.has(deviceNumber(found.rdev)) ?? false;
    return found.isFile() && file !== undefined && found.dev === file.dev && found.ino === file.ino;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** `flags:` is octal; its lowest two bits are the access mode, 0 for read-only (proc(5)). */
async function canWrite(path: string): Promise<boolean> {
  const flags = /^flags:\s*([0-7]+)/m.exec(await textOf(path))?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0;
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

async function namesInProc(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Processes end while we look, and others' may be closed to us: either is nothing that we could name. */
function isGone(error: unknown): boolean {
  return systemCode(error) !== undefined;
}

const PROCESSES_AT_A_TIME = 16;
