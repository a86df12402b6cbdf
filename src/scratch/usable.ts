// Whether a directory can be used, or created, by this process; nothing is created.
import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { undefinedIfMissing } from '../missing.ts';

/** What a directory must allow so that files can be created in it: for access(2). */
export const USABLE = constants.W_OK | constants.X_OK;

/** SCRATCH_UNUSABLE, or the system's error, unless `root` is a folder that we can write to, or one can be made there. */
export async function checkUsable(root: string): Promise<void> {
  const info = await undefinedIfMissing(stat(root));
  if (info === undefined && dirname(root) !== root) return await checkUsable(dirname(root));
  if (info !== undefined && !info.isDirectory()) throw notADirectory(root);
  await access(root, USABLE);
}

/** What is said of a scratch folder that is something else. */
export function notADirectory(root: string): DatamoverError {
  return new DatamoverError('SCRATCH_UNUSABLE', `scratch ${root} is not a directory`, {
    hint: `choose a directory with --scratch, for example ${dirname(root)}`,
  });
}
