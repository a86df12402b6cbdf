// What the system allows this process, and how an error says that such a limit was reached. Node has no getrlimit: /proc has
// the numbers.
import { readdirSync, readFileSync } from 'node:fs';
import { formatBytes } from './units.ts';

/** In the units of setrlimit: bytes, descriptors, processes; Infinity for no limit. */
export interface Limit {
  readonly soft: number;
  readonly hard: number;
}

export type LimitName = 'data' | 'addressSpace' | 'fileSize' | 'openFiles' | 'processes';

const NAMES: Readonly<Record<LimitName, string>> = {
  data: 'Max data size',
  addressSpace: 'Max address space',
  fileSize: 'Max file size',
  openFiles: 'Max open files',
  processes: 'Max processes',
};

let table: string | undefined;

/**
 * This process's limits, which its children inherit; undefined where /proc cannot be read. Read once: nothing here changes
 * them, and when descriptors have run out /proc cannot be opened any more. Node has raised the soft limit of open files to the hard
 * one when it started.
 */
export function readLimit(name: LimitName): Limit | undefined {
  table ??= readProcText('/proc/self/limits');
  const row = (table ?? '').split('\n').find((line) => line.startsWith(NAMES[name]));
  const match = /^(\d+|unlimited)\s+(\d+|unlimited)/.exec(row?.slice(NAMES[name].length).trim() ?? '');
  if (match === null) return undefined;
  const number = (text = ''): number => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text));
  return { soft: number(match[1]), hard: number(match[2]) };
}

export interface PidsLimit {
  readonly max: number;
  /** In use now, by everything in the container. */
  readonly current: number;
}

/** The limit of processes and threads of this container (cgroup `pids`); undefined when there is none or it cannot be read. */
export function readPidsLimit(): PidsLimit | undefined {
  for (const line of (readProcText('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers !== '' && !controllers.split(',').includes('pids')) continue;
    const root = controllers === '' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
    // In a container the path is the host's, and the container's own group is mounted at the root.
    for (const group of [`${root}${path}`, root]) {
      const [max, current] = ['max', 'current'].map((name) => Number(readProcText(`${group}/pids.${name}`)?.trim()));
      if (Number.isInteger(max) && Number.isInteger(current)) return { max: max ?? 0, current: current ?? 0 };
    }
  }
  return undefined;
}

/** Descriptors that this process has open; all that it may have when not even that can be looked up. */
export function countOpenFiles(): number {
  try {
    // One of them is the folder's own.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return readLimit('openFiles')?.soft ?? 0;
  }
}

/** What ran out, with its limit, and what to change. */
export interface Exhaustion {
  readonly why: string;
  readonly hint: string;
  /** Memory may be what ran out: a thread's stack is memory too. */
  readonly ofMemory?: boolean;
}

/** Of a system error; undefined when it is not about a limit. */
export function exhaustion(error: unknown): Exhaustion | undefined {
  if (error instanceof RangeError && error.message === 'Array buffer allocation failed') return memory();
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  switch (error.code) {
    case 'EMFILE':
      return openFiles();
    case 'ENFILE':
      return MACHINE_FILES;
    // Only of a process that was not started: elsewhere it means "not now".
    case 'EAGAIN':
      return 'syscall' in error && String(error.syscall).startsWith('spawn') ? processes() : undefined;
    case 'ENOMEM':
      return memory();
    case 'EFBIG':
      return fileSize();
    default:
      return undefined;
  }
}

/** Of what a program said; undefined when it does not speak of a limit that is in force. */
export function exhaustionSaid(stderr: string): Exhaustion | undefined {
  if (/Too many open files in system/.test(stderr)) return MACHINE_FILES;
  if (/Too many open files/.test(stderr)) return openFiles();
  if (/qemu_thread_create: Resource temporarily unavailable|fork: retry|[Cc]annot fork/.test(stderr))
    return processes();
  if (/File too large/.test(stderr)) return fileSize();
  // Without a limit of the user's it is the program's own, or the machine's; the caller knows better.
  if (/Cannot allocate memory|failed to allocate/.test(stderr) && memoryLimits().length > 0) return memory();
  return undefined;
}

/** The error's own words tell no limit; this does. */
export function openFiles(needed?: number): Exhaustion {
  const limit = readLimit('openFiles')?.soft;
  const numbers = needed === undefined ? '' : `, ${needed} are needed`;
  const enough = Math.max(1024, 2 ** Math.ceil(Math.log2(needed ?? 4096)));
  return {
    why: `too many open files: ${limit === undefined ? 'the limit is not known' : `the limit is ${limit}`}${numbers}`,
    hint: `raise the limit of open files: \`ulimit -n ${enough}\` (LimitNOFILE= of a service, --ulimit nofile= of a container), then run the same command again`,
  };
}

const MACHINE_FILES: Exhaustion = {
  why: 'the machine has too many open files',
  hint: 'raise fs.file-max (`sysctl fs.file-max`), or stop the processes that hold them open, then run the same command again',
};

/** Of the container's or the user's limit; `needed`: how many more are to be started. */
export function processes(needed?: number): Exhaustion {
  const user = readLimit('processes')?.soft;
  const group = readPidsLimit()?.max;
  const limits = [
    ...(user === undefined || user === Number.POSITIVE_INFINITY ? [] : [`ulimit -u is ${user}`]),
    ...(group === undefined ? [] : [`the container's pids limit is ${group}`]),
    // The stack of a thread is memory.
    ...memoryLimits(),
  ];
  return {
    why: `${needed === undefined ? 'no' : `fewer than ${needed}`} more processes or threads may be started${limits.length === 0 ? '' : `: ${limits.join(', ')}`}`,
    hint: 'raise the limit (`ulimit -u`, the pids limit of the container or pod): qemu-img needs up to 80 threads; then run the same command again',
    ofMemory: true,
  };
}

function memory(): Exhaustion {
  const limits = memoryLimits();
  return {
    why: `out of memory${limits.length === 0 ? '' : `: ${limits.join(', ')}`}`,
    hint:
      limits.length === 0
        ? 'give the machine or container more memory, then run the same command again'
        : 'raise the limit (`ulimit -v unlimited`, `ulimit -d unlimited`), then run the same command again',
    ofMemory: true,
  };
}

function memoryLimits(): string[] {
  const [data, space] = [readLimit('data')?.hard, readLimit('addressSpace')?.soft];
  const isSet = (limit: number | undefined): limit is number => limit !== undefined && Number.isFinite(limit);
  return [
    ...(isSet(space) ? [`ulimit -v is ${formatBytes(space)}`] : []),
    ...(isSet(data) ? [`ulimit -d is ${formatBytes(data)}`] : []),
  ];
}

/** Undefined without a limit: then it is the file system that cannot hold such a file. */
function fileSize(): Exhaustion | undefined {
  const limit = readLimit('fileSize')?.soft;
  if (limit === undefined || !Number.isFinite(limit)) return undefined;
  return {
    why: `the file would be too large: ulimit -f is ${formatBytes(limit)}`,
    hint: 'raise the limit of file sizes (`ulimit -f unlimited`), then run the same command again',
  };
}

/** Undefined where there is no /proc, or no descriptor left to read it with. */
export function readProcText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Whatever ran out is reported where it is needed.
    return undefined;
  }
}
