// Runs one of QEMU's tools as a child that dies with us. The program's only way to start qemu.
import { access } from 'node:fs/promises';
import { execa } from 'execa';
import { AwakeTimer } from '../awake.ts';
import { DatamoverError } from '../errors.ts';
import { launcherFailure, programMissing } from '../launchers.ts';
import { exhaustion, exhaustionSaid, readLimit } from '../process-limits.ts';
import { formatBytes, formatDuration, GiB, MiB } from '../units.ts';
import { lastErrorLine } from './said.ts';

export type QemuTool = 'qemu-img' | 'qemu-io' | 'qemu-nbd';

export interface StartOptions {
  /** Ends the child: SIGTERM, after `KILL_DELAY_MS` SIGKILL. */
  readonly signal: AbortSignal;
  /** Milliseconds of our own running after which the child is ended as with `signal`; none by default. */
  readonly timeoutMs?: number;
  /** The most that the child may allocate, bytes (RLIMIT_DATA); `MEMORY_BYTES` by default. */
  readonly memoryBytes?: number;
  /** The child's working folder; ours by default. */
  readonly cwd?: string;
  /** `pipe` for a child that is given commands; nothing to read by default. */
  readonly stdin?: 'pipe';
}

export interface RunOptions extends StartOptions {
  /** Sees stdout as it comes. Must not throw. */
  readonly onStdout?: (piece: string) => void;
}

export interface RunResult {
  readonly exitCode: number;
  /** The last MiB of it. */
  readonly stdout: string;
  /** The last MiB of it. */
  readonly stderr: string;
}

/**
 * Runs a tool to its end. Exit statuses other than 0 are the caller's to judge.
 * @throws DatamoverError TOOL_MISSING when the tool (or util-linux) is not there; TOOL_FAILED when it could not be
 * started, was killed or took longer than `timeoutMs`. The signal's reason when that was aborted. In every case the child has ended.
 */
export async function runTool(tool: QemuTool, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const child = startTool(tool, args, options);
  const stdout = new Tail();
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    stdout.add(piece);
    options.onStdout?.(piece);
  });
  const end = await child.ended;
  return { exitCode: end.exitCode, stdout: stdout.text, stderr: end.stderr };
}

/** A child whose stdout the caller reads to its end (or destroys). */
export interface RunningTool {
  readonly stdout: NodeJS.ReadableStream & { setEncoding(encoding: 'utf8'): NodeJS.ReadableStream };
  /** With `stdin: 'pipe'`. */
  readonly stdin: NodeJS.WritableStream | null;
  /** Settles after the child ended, with what `runTool` gives or rejects with; must be awaited. */
  readonly ended: Promise<{ readonly exitCode: number; readonly stderr: string }>;
}

/** Starts a tool; see `runTool`. Throws the signal's reason when it is aborted already. */
export function startTool(tool: QemuTool, args: readonly string[], options: StartOptions): RunningTool {
  return start(tool, [tool, ...args], options);
}

export interface StartManyOptions {
  /** Arguments that each of them takes from stdin. */
  readonly each: number;
  /** How many run at a time. */
  readonly limit: number;
  /** Called when any of them writes to stderr. */
  readonly onStderr?: () => void;
  /** Milliseconds for all of them, as that of `startTool`. */
  readonly timeoutMs?: number;
  /** Ends all of them, as that of `startTool`. */
  readonly signal: AbortSignal;
}

/**
 * Starts one process that runs the tool, with `args` and `each` arguments more, for every `each` arguments that are written to its stdin,
 * each ended by a NUL. What they print comes as they print it, each write as a piece; `ended` says nothing of any one of them. None
 * outlives us, nor the process that started it.
 */
export function startMany(tool: QemuTool, args: readonly string[], options: StartManyOptions): RunningTool {
  const { each, limit, onStderr, signal, timeoutMs } = options;
  const xargs = ['xargs', '-0', '-r', '-n', `${each}`, '-P', `${limit}`];
  return start(
    tool,
    [...xargs, ...WITH_US, tool, ...args],
    { signal, stdin: 'pipe', ...(timeoutMs === undefined ? {} : { timeoutMs }) },
    onStderr,
  );
}

/** Ends the child when its parent ends, however that happens. */
const WITH_US = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;

function start(
  tool: QemuTool,
  command: readonly string[],
  options: StartOptions,
  onStderr: () => void = () => {},
): RunningTool {
  const { signal, timeoutMs } = options;
  signal.throwIfAborted();
  const [program, ...words] = [...WITH_US, 'prlimit', `--data=${memoryOf(options)}`, '--core=0', '--', ...command];
  const late = new AbortController();
  // Not execa's own limit: that counts the time during which we, and in a frozen container the child too, did not run.
  const limit = timeoutMs === undefined ? undefined : new AwakeTimer(timeoutMs, () => late.abort());
  const child = execa(program, words, {
    cancelSignal: AbortSignal.any([signal, late.signal]),
    forceKillAfterDelay: KILL_DELAY_MS,
    // It sizes the thread pool of this process.
    env: { LC_ALL: 'C', UV_THREADPOOL_SIZE: undefined },
    // Out of the terminal's process group: a Ctrl-C is ours to hear, and must not look like a qemu-img that failed.
    detached: true,
    stdin: options.stdin ?? 'ignore',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    buffer: false,
    reject: false,
  });
  const stderr = new Tail();
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    stderr.add(piece);
    onStderr();
  });
  const ended = child.then(async (end) => {
    limit?.clear();
    return await checkExit(
      tool,
      { ...end, cause: end.cause, stderr: stderr.text, timedOut: late.signal.aborted && end.isCanceled },
      options,
    );
  });
  return { stdout: child.stdout, stdin: child.stdin, ended };
}

/** Long enough for a tool that is waiting for a slow device, short enough for a pod's grace (design section 8: 10 s). */
const KILL_DELAY_MS = 3000;

/**
 * A convert of 200 layers was content with 0.5 GiB, most of it the stacks of its 64 I/O threads. RLIMIT_DATA, since
 * RLIMIT_AS counts what is merely reserved: there the same convert wanted 2 GiB.
 */
const MEMORY_BYTES = 4 * GiB;

/** What is asked for, or what the system allows: no limit can be set above the hard one. */
function memoryOf({ memoryBytes = MEMORY_BYTES }: StartOptions): number {
  return Math.min(memoryBytes, readLimit('data')?.hard ?? Number.POSITIVE_INFINITY);
}

interface ChildEnd {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** Why it could not be started. */
  readonly code?: string | undefined;
  readonly originalMessage?: string | undefined;
  readonly cause?: unknown;
  readonly isCanceled: boolean;
  readonly timedOut: boolean;
  readonly stderr: string;
}

async function checkExit(
  tool: QemuTool,
  end: ChildEnd,
  options: StartOptions,
): Promise<{ exitCode: number; stderr: string }> {
  if (end.isCanceled) options.signal.throwIfAborted();
  if (end.timedOut) {
    const limit = formatDuration((options.timeoutMs ?? 0) / 1000);
    throw new DatamoverError('TOOL_FAILED', `${tool} timed out after ${limit}`, {
      hint: 'check the storage under the image, then run the same command again',
    });
  }
  const { exitCode, signal, stderr } = end;
  if (end.code === 'ENOENT' && (await exists(options.cwd))) throw programMissing('setpriv');
  if (exitCode === undefined && signal === undefined && end.code !== undefined) throw notStarted(tool, end, options);
  if (exitCode !== 0) {
    const launcher = launcherFailure(['setpriv', 'prlimit'], stderr);
    if (launcher !== undefined) throw launcher;
    const exhausted = exhaustionSaid(stderr);
    if (exhausted !== undefined) {
      const own = exhausted.ofMemory === true ? ` (memory limit ${formatBytes(memoryOf(options))})` : '';
      throw new DatamoverError('TOOL_FAILED', `${tool} failed: ${exhausted.why}`, { hint: `${exhausted.hint}${own}` });
    }
  }
  if (exitCode === undefined) {
    throw new DatamoverError(
      'TOOL_FAILED',
      `${tool} was killed${signal === undefined ? '' : ` by ${signal}`}${lastErrorLine(stderr)}`,
      {
        hint: `check the pod or kernel log, then run the same command again: it was killed or ran out of memory (limit ${formatBytes(memoryOf(options))})`,
      },
    );
  }
  return { exitCode, stderr };
}

async function exists(folder: string | undefined): Promise<boolean> {
  if (folder === undefined) return true;
  return await access(folder).then(
    () => true,
    // Whatever keeps us from it keeps a child from it.
    () => false,
  );
}

function notStarted(
  tool: QemuTool,
  { code = '', originalMessage, cause }: ChildEnd,
  { cwd }: StartOptions,
): DatamoverError {
  const exhausted = exhaustion(cause);
  const why =
    code === 'ENOENT' ? `its working directory ${cwd} does not exist` : (exhausted?.why ?? originalMessage ?? code);
  return new DatamoverError('TOOL_FAILED', `${tool} could not be started: ${why}`, {
    hint: exhausted?.hint ?? START_HINTS.get(code) ?? '',
  });
}

const START_HINTS: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'check what removed the directory, then run the same command again'],
  ['E2BIG', 'restore a backup with fewer layers: the chain is too long for a command line'],
]);

/** The end of a stream's text, bounded. */
class Tail {
  #text = '';

  add(piece: string): void {
    this.#text += piece;
    if (this.#text.length > 2 * MiB) this.#text = this.#text.slice(-MiB);
  }

  get text(): string {
    return this.#text.slice(-MiB);
  }
}
