// Where a run keeps its folder: scratch, or, for a run without scratch, a small runtime folder for sockets and journal.
import { mkdtemp, rm, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { fitsSocketPath } from '../socket-path.ts';
import type { Strategy } from '../strategy.ts';
import { checkUsable } from './usable.ts';

/** What is appended to a runtime directory at most for the path of a socket. */
const LONGEST_SOCKET = 'kubevirt-datamover-0123456789abcdef/0/nbd.sock';

export interface RuntimeFolderOptions {
  /** The scratch directory, where there is one. */
  readonly scratch?: string;
  readonly env: Readonly<NodeJS.ProcessEnv>;
}

/**
 * The folder that the run's own folder lies in: scratch for the strategies that need it (USAGE when none is named),
 * else the first of `$XDG_RUNTIME_DIR`, `$TMPDIR`, `/run/kubevirt-datamover`, scratch and `/tmp` that can be written to and is
 * short enough for a socket (SCRATCH_UNUSABLE when none is).
 */
export async function chooseRoot(options: RuntimeFolderOptions & { readonly strategy: Strategy }): Promise<string> {
  if (options.strategy === 'stream') return await chooseRuntimeFolder(options);
  if (options.scratch !== undefined) return resolve(options.scratch);
  throw new DatamoverError('USAGE', `--strategy ${options.strategy} needs a scratch directory, but none is set`, {
    hint: 'add --scratch DIR, or `scratch: { path: DIR }` to the plan, or use --strategy stream, which needs none',
  });
}

/** Where every user may write, and nobody may rename what is another's: the run's directory in it is its own, 0700. */
const SHARED = '/tmp';

/** As `chooseRoot` for `stream`. */
export async function chooseRuntimeFolder({ scratch, env }: RuntimeFolderOptions): Promise<string> {
  const candidates = [env.XDG_RUNTIME_DIR, env.TMPDIR, '/run/kubevirt-datamover', scratch, SHARED].filter(
    (path): path is string => path !== undefined && path !== '',
  );
  for (const candidate of candidates.map((path) => resolve(path))) {
    const fits = fitsSocketPath(join(candidate, LONGEST_SOCKET));
    if (fits && (await isUsable(candidate))) return candidate;
  }
  throw new DatamoverError(
    'SCRATCH_UNUSABLE',
    `no usable directory for sockets and the journal: tried ${candidates.join(', ')}`,
    {
      hint: 'set XDG_RUNTIME_DIR or TMPDIR to a short path that this user can write to (in a pod: an emptyDir at /run/kubevirt-datamover)',
    },
  );
}

/** Whether the path of a socket in this directory is short enough. */
export function fitsSocket(folder: string): boolean {
  return fitsSocketPath(join(folder, 'nbd.sock'));
}

/** A small folder for sockets while `work` runs, gone afterwards; chosen as `chooseRuntimeFolder` does. */
export async function withRuntimeFolder<T>(
  options: RuntimeFolderOptions,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const root = await chooseRuntimeFolder(options);
  const made = await makeFolders(root, 0o700);
  const folder = await mkdtemp(join(root, 'kubevirt-datamover-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    // Somebody else may have begun to use it; then it stays.
    if (made !== undefined) await rmdir(root).catch(() => {});
  }
}

async function isUsable(path: string): Promise<boolean> {
  try {
    await checkUsable(path);
    return true;
  } catch {
    return false;
  }
}
