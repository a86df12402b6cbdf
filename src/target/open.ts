// Opens what a plan names as a target: a block device, or the place of a file. Writes nothing and makes nothing.
import { access, lstat, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DatamoverError, systemCode } from '../errors.ts';
import { isTargetFileName } from '../target-file-name.ts';
import { openBlockTarget } from './block-target.ts';
import { targetFailure } from './failure.ts';
import { FOLDER_RIGHTS, openFileTarget } from './file-target.ts';
import type { Target } from './target.ts';

export interface OpenTargetOptions {
  readonly path: string;
  /** Missing parent folders of a file are no error; they are made (0700) when the file is begun. */
  readonly makeParents?: boolean;
  /** Anything that is no block device is TARGET_MISSING. */
  readonly requireBlockDevice?: boolean;
  /** Part of the name of the file beside a file's place, so that two plans never share one: the plan's id. */
  readonly partialTag: string;
  /** Whether we run in a pod, whose hints differ. */
  readonly inPod?: boolean;
  readonly signal: AbortSignal;
}

/** The caller closes it. TARGET_MISSING, TARGET_BUSY, TARGET_DENIED as design section 8 says. */
export async function openTarget(options: OpenTargetOptions): Promise<Target> {
  const { path } = options;
  const found = await find(path);
  if (found === undefined) return await openMissing(options);
  if (found.isBlockDevice()) return await openBlockTarget({ ...options, realPath: await realpath(path), stats: found });
  if (options.requireBlockDevice)
    throw targetMissing(path, 'is not a block device', 'attach the PVC as a block device (volumeDevices)');
  if (found.isFile()) return await openFileTarget({ ...options, realPath: await realpath(path), exists: true });
  const kind = found.isDirectory() ? 'a directory' : found.isCharacterDevice() ? 'a character device' : 'neither';
  throw targetMissing(
    path,
    kind === 'neither'
      ? 'is neither a block device nor a regular file'
      : `is ${kind}, neither a block device nor a file`,
    found.isDirectory()
      ? `name a file in it, for example ${join(path, 'disk.raw')}`
      : 'name a block device, or a file that ends in .raw, .img or .qcow2',
  );
}

async function find(path: string) {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'ENOENT') return undefined;
    const why = UNREACHABLE.get(code);
    if (why !== undefined) throw targetMissing(path, why, 'correct the path');
    throw targetFailure(`cannot inspect target ${path}`, error);
  }
}

/** Paths that lead nowhere, whatever is made or allowed there. */
const UNREACHABLE: ReadonlyMap<string, string> = new Map([
  ['ENOTDIR', 'has a parent that is not a directory'],
  ['ELOOP', 'is a symbolic link that leads to itself'],
  ['ENAMETOOLONG', 'has a name that is too long'],
]);

/** A mistyped device must not fill memory: only what is clearly meant as a file is made. */
async function openMissing(options: OpenTargetOptions): Promise<Target> {
  const { path, makeParents = false, requireBlockDevice = false } = options;
  const absolute = resolve(path);
  if (requireBlockDevice) throw targetMissing(path, 'not found', 'attach the PVC as a block device (volumeDevices)');
  if (await isLink(path)) throw targetMissing(path, 'is a dangling symbolic link', 'correct or remove the link');
  const parent = await realParent(dirname(absolute), path, makeParents);
  const realPath = join(parent, basename(absolute));
  if (isUnder(realPath, '/dev') && !isUnder(realPath, '/dev/shm')) {
    throw targetMissing(path, 'not found', 'check the name: `lsblk` shows the block devices');
  }
  if (!isTargetFileName(realPath)) {
    throw targetMissing(
      path,
      'not found',
      'name an existing block device, or a file that ends in .raw, .img or .qcow2',
    );
  }
  return await openFileTarget({ ...options, realPath, exists: false });
}

async function isLink(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isSymbolicLink() ?? false;
}

/** The folder with its links resolved; of one that is to be made, what there is of it. */
async function realParent(folder: string, path: string, makeParents: boolean): Promise<string> {
  try {
    const real = await realpath(folder);
    if (!(await stat(real)).isDirectory())
      throw targetMissing(path, `cannot be created: ${folder} is not a directory`, 'correct the path');
    await access(real, FOLDER_RIGHTS);
    return real;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' && makeParents && dirname(folder) !== folder) {
      return join(await realParent(dirname(folder), path, makeParents), basename(folder));
    }
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw targetMissing(
        path,
        `not found, and its directory ${folder} does not exist`,
        `create the directory (\`mkdir -p ${folder}\`), or correct the path`,
      );
    }
    throw targetFailure(`cannot create target ${path} in ${folder}`, error);
  }
}

function isUnder(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function targetMissing(path: string, why: string, hint: string): DatamoverError {
  return new DatamoverError('TARGET_MISSING', `target ${path} ${why}`, { hint });
}
