// Whether a limit of memory leaves this process enough. V8 aborts the process when it cannot have more, in the middle of whatever it
// does and without a word of ours, so the question is asked before.
import { DatamoverError, type Problem } from './errors.ts';
import { readLimit, readProcText } from './process-limits.ts';
import { poolThreads } from './thread-pool.ts';
import { formatBytes, KiB, MiB } from './units.ts';

interface Kind {
  readonly limit: 'data' | 'addressSpace';
  /** ulimit's letter. */
  readonly letter: string;
  /** The line of /proc/self/status that the kernel compares with the limit. */
  readonly used: string;
  /**
   * What heap and threads grow by after the start. Measured with Node 24: restores of 16 requests at a time took 50 MiB of data and
   * 300 MiB of address space, most of that reserved by malloc for threads; each of the two threads that hash takes 35 and 100 MiB more,
   * and 32 requests at a time 2 MiB of data more.
   */
  readonly growth: number;
}

const KINDS: readonly Kind[] = [
  { limit: 'data', letter: 'd', used: 'VmData', growth: 128 * MiB },
  { limit: 'addressSpace', letter: 'v', used: 'VmSize', growth: 512 * MiB },
];

/**
 * A TOOL_FAILED problem, with both numbers, for each limit (RLIMIT_DATA, RLIMIT_AS) that does not leave `bytes` beside what this process
 * has and grows by. None where /proc cannot be read.
 */
export function checkMemory(bytes = 0, more = { growth: 0 }): Problem[] {
  return KINDS.flatMap(({ limit, letter, used, growth }) => {
    const most = readLimit(limit)?.soft;
    if (most === undefined || !Number.isFinite(most)) return [];
    const needed = readUsed(used) + growth + more.growth + bytes;
    if (needed <= most) return [];
    const message = `not enough memory: ulimit -${letter} is ${formatBytes(most)}, ${formatBytes(needed)} are needed`;
    const smaller = bytes === 0 ? '' : ', or read less ahead (`--window 16Mi`)';
    const hint = `raise the limit (\`ulimit -${letter} unlimited\`)${smaller}, then run the same command again`;
    return [{ code: 'TOOL_FAILED', message, hint }];
  });
}

/** Throws what `checkMemory` finds. */
export function requireMemory(bytes = 0): void {
  const problems = checkMemory(bytes);
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
}

/** As `requireMemory`, before libuv has started its threads: `growth` was measured with the four that it has by default. */
export function requireMemoryToStart(env: Readonly<NodeJS.ProcessEnv>): void {
  const problems = checkMemory(0, { growth: Math.max(0, poolThreads(env) - 4) * THREAD_STACK });
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
}

/** libuv takes the limit of the stack, `ulimit -s`, which is 8 MiB where nobody changed it. */
const THREAD_STACK = 8 * MiB;

/** Bytes; 0 where it cannot be read. */
function readUsed(name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readProcText('/proc/self/status') ?? '');
  return Number(match?.[1] ?? 0) * KiB;
}
