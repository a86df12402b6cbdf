// What goes wrong with files in scratch, in the user's words.
import { DatamoverError, errnoCode, messageOf } from '../errors.ts';
import { freeIn, type SpaceCheck } from '../restore/preflight-space.ts';
import { formatBytes } from '../units.ts';

/**
 * An error of a file operation in scratch as the user's: ENOSPC and EDQUOT are SCRATCH_FULL, other system errors
 * SCRATCH_UNUSABLE; anything else is given back as it is.
 */
export function scratchError(error: unknown, path: string): unknown {
  const code = errnoCode(error);
  if (error instanceof DatamoverError || code === undefined) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DatamoverError('SCRATCH_FULL', `no space left in scratch while writing ${path}`, {
      hint: 'free space there or give more with --scratch; `restore --dry-run` says how much is needed',
      cause: error,
    });
  }
  return new DatamoverError('SCRATCH_UNUSABLE', `scratch cannot be used: ${path}: ${messageOf(error)}`, {
    hint: 'give a folder that this user can write to with --scratch',
    cause: error,
  });
}

/** A SCRATCH_FULL of a run with how much the check found needed and free, and how much is free now; any other error as it is. */
export async function withRoomTold(
  error: DatamoverError,
  { path, scratchNeeded, scratchFree }: Omit<SpaceCheck, 'problems'> & { readonly path: string },
): Promise<DatamoverError> {
  if (error.code !== 'SCRATCH_FULL') return error;
  const now = `${exactly((await freeIn(path)).bytes)} free now`;
  const room =
    scratchFree === undefined
      ? now
      : `${exactly(scratchNeeded)} needed, ${exactly(scratchFree)} free at the check, ${now}`;
  const { code, message, hint, cause, pvc } = error;
  return new DatamoverError(code, `${message}: ${room}`, { hint, cause, ...(pvc === undefined ? {} : { pvc }) });
}

function exactly(bytes: number): string {
  return `${formatBytes(bytes)} (${bytes} bytes)`;
}
