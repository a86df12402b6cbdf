// Which processes have a device or a file open, as far as /proc lets us see: O_EXCL does not see a virtual machine.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { mapBounded } from '../../concurrency.ts';
import { systemCode } from '../../errors.ts';
import { ifVisible, RemoteFiles } from './remote-files.ts';
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

/**
 * The processes that have it open, our own among them. Others' descriptors are seen by root and their own user only.
 *
 * A machine has tens of thousands of descriptors. What the kernel answers from memory is read in place, at a tenth of the cost
 * of a promise each.
 */
export async function findOpeners(thing: OpenFile, options: { readonly signal: AbortSignal }): Promise<Opener[]> {
  const pids = namesInProc('/proc').filter((name) => /^\d+$/.test(name));
  const bounds = { limit: PROCESSES_AT_A_TIME, signal: options.signal };
  const search: Search = { thing, remote: new RemoteFiles(), turns: new Turns() };
  const found = await mapBounded(pids, bounds, (pid) => openerOf(pid, search));
  return found.filter((opener) => opener !== undefined);
}

interface Search {
  readonly thing: OpenFile;
  readonly remote: RemoteFiles;
  readonly turns: Turns;
}

/** Lets everything else run after some hundred descriptors, which take a few milliseconds. */
class Turns {
  #looks = 0;

  async look(): Promise<void> {
    this.#looks += 1;
    if (this.#looks % LOOKS_A_TURN === 0) await nextTurn();
  }
}

/** `process 4711 (qemu-system-x86)`. */
export function describeOpener(opener: Opener): string {
  return `process ${opener.pid} (${opener.program})`;
}

async function openerOf(pid: string, search: Search): Promise<Opener | undefined> {
  let writes: boolean | undefined;
  for (const fd of namesInProc(`/proc/${pid}/fd`)) {
    await search.turns.look();
    if (!(await isSafeToStat(pid, fd, search))) continue;
    if (!(await matches(`/proc/${pid}/fd/${fd}`, search.thing))) continue;
    writes = writes === true || canWrite(`/proc/${pid}/fdinfo/${fd}`);
  }
  if (writes === undefined) return undefined;
  return { pid: Number(pid), program: textOf(`/proc/${pid}/comm`).trim() || '?', writes };
}

/** Whether a descriptor can be what is looked for, and asking after it cannot take for ever. */
async function isSafeToStat(pid: string, fd: string, { thing: { file }, remote }: Search): Promise<boolean> {
  const leadsTo = ifVisible(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
  // `socket:[4711]`, `pipe:[4711]`, `anon_inode:[eventpoll]`.
  if (leadsTo === undefined || /^[a-z_]+:/.test(leadsTo)) return false;
  if (leadsTo.startsWith('/dev/')) return true;
  const mount = await remote.mountOf(pid, fd);
  return mount === undefined || (file !== undefined && mount.device === deviceNumber(file.dev));
}

/** Not in place: a file system may have to ask its disk. */
async function matches(path: string, { devices, file }: OpenFile): Promise<boolean> {
  try {
    const found = await stat(path, { bigint: true });
    if (found.isBlockDevice()) return devices?.has(deviceNumber(found.rdev)) ?? false;
    return found.isFile() && file !== undefined && found.dev === file.dev && found.ino === file.ino;
  } catch (error) {
    if (systemCode(error) !== undefined) return false;
    throw error;
  }
}

/** `flags:` is octal; its lowest two bits are the access mode, 0 for read-only (proc(5)). */
function canWrite(path: string): boolean {
  const flags = /^flags:\s*([0-7]+)/m.exec(textOf(path))?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0;
}

function textOf(path: string): string {
  return ifVisible(() => readFileSync(path, 'utf8')) ?? '';
}

function namesInProc(folder: string): string[] {
  return ifVisible(() => readdirSync(folder)) ?? [];
}

const PROCESSES_AT_A_TIME = 16;

const LOOKS_A_TURN = 256;
