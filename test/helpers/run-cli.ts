// Runs the real program as its users do: bin/ on dist/ where that is fresh, else src/main.ts under the same Node.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export interface RunCliOptions {
  /** Added to a clean environment; undefined takes a variable away. */
  readonly env?: NodeJS.ProcessEnv;
  /** What standard input holds; nothing when absent. */
  readonly stdin?: string;
  readonly cwd?: string;
  /** What starts the program: `sh -c 'exec "$@" 2>/dev/full' sh`. */
  readonly through?: readonly string[];
  /** Flags for Node itself. */
  readonly nodeArgs?: readonly string[];
  /** In a process group of its own, as a shell starts it. */
  readonly detached?: boolean;
  /** Run as this user. */
  readonly uid?: number;
  /** Aborting it sends SIGTERM. */
  readonly signal?: AbortSignal;
}

export interface CliResult {
  /** Null when it was killed by a signal. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
}

/** Runs the program with `args` to its end. */
export async function runCli(args: readonly string[], options: RunCliOptions = {}): Promise<CliResult> {
  const { child, result } = startCli(args, options);
  const terminate = (): void => void child.kill('SIGTERM');
  options.signal?.addEventListener('abort', terminate, { once: true });
  if (options.signal?.aborted === true) terminate();
  try {
    return await result;
  } finally {
    options.signal?.removeEventListener('abort', terminate);
  }
}

/** Starts the program, for tests that watch it or kill it on its way. */
export function startCli(
  args: readonly string[],
  { env = {}, stdin = '', cwd, through = [], nodeArgs = [], detached = false, uid }: RunCliOptions = {},
): RunningCli {
  // Under tap `spawn` puts tap's loader into NODE_OPTIONS of every child; env(1) takes it out and becomes the program.
  const program = [process.execPath, ...nodeArgs, programPath(), ...args];
  const child = spawn('env', ['-u', 'NODE_OPTIONS', ...through, ...program], {
    env: cleanEnvironment(env),
    stdio: ['pipe', 'pipe', 'pipe'],
    detached,
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  // A program that ends without reading its input closes the pipe under us.
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  const result = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([stdout, stderr]): CliResult => ({ exitCode: child.exitCode, stdout, stderr }),
  );
  return { child, result };
}

/** This process's environment without what would change the program: tap's loader, a pod's, the cloud's variables. */
export function cleanEnvironment(added: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const foreign =
    /^(NODE_OPTIONS|NODE_ENV|NO_COLOR|FORCE_COLOR|XDG_RUNTIME_DIR|SSL_CERT_(FILE|DIR)|(TAP|AWS_|KUBERNETES_|KUBEVIRT_DM_|npm_).*|.*_proxy)$/i;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), ...added };
}

let path: string | undefined;

/** What is shipped where dist/ is newer than every source; else the sources themselves, which behave the same. Looked up once. */
export function programPath(): string {
  path ??= findProgram();
  return path;
}

function findProgram(): string {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const built = mtimeOf(join(root, 'dist/main.js'));
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const fresh = built !== undefined && sources.every((name) => (mtimeOf(join(root, 'src', name)) ?? 0) <= built);
  return join(root, fresh ? 'bin/kubevirt-datamover' : 'src/main.ts');
}

function mtimeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}
