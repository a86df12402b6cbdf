// What the system allows this process, and the errors that mean a limit was reached. Read from /proc: Node has no getrlimit.
import { readFileSync } from 'node:fs';
import { systemCode } from './errors.ts';

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
 * them, and when descriptors have run out /proc cannot be opened any more.
 */
export function readLimit(name: LimitName): Limit | undefined {
  table ??= readProc('/proc/self/limits');
  const row = (table ?? '').split('\n').find((line) => line.startsWith(NAMES[name]));
  const match = /^(\d+|unlimited)\s+(\d+|unlimited)/.exec(row?.slice(NAMES[name].length).trim() ?? '');
  if (match === null) return undefined;
  const number = (text = ''): number => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text));
  return { soft: number(match[1]), hard: number(match[2]) };
}

/** What ran out, in words, and what to change. */
export interface Exhaustion {
  readonly why: string;
  readonly hint: string;
}

/** Undefined for an error that is not about a limit of the process or the machine. */
export function exhaustion(error: unknown): Exhaustion | undefined {
  const code = systemCode(error);
  if (code === 'EMFILE') {
    const limit = readLimit('openFiles')?.soft;
    return {
      why: `too many open files (EMFILE)${limit === undefined ? '' : `: the limit is ${limit}`}`,
      hint: 'raise the limit of open files (`ulimit -n 4096`, or LimitNOFILE= of the service), then run the same command again',
    };
  }
  return code === 'ENFILE' ? MACHINE_FILES : undefined;
}

const MACHINE_FILES: Exhaustion = {
  why: 'the machine has too many open files (ENFILE)',
  hint: 'raise fs.file-max (`sysctl fs.file-max`), or stop what holds the files, then run the same command again',
};

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // No /proc, or no descriptor left to read it with.
    return undefined;
  }
}
