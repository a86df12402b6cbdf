// What goes wrong with files in scratch, in the user's words.
import { DatamoverError, errnoCode, messageOf } from '../errors.ts';
import { exhaustion } from '../process-limits.ts';

/**
 * An error of a file operation in scratch as the user's: ENOSPC and EDQUOT are SCRATCH_FULL, other system errors
 * SCRATCH_UNUSABLE; anything else is given back as it is.
 */
export function scratchError(error: unknown, path: string): unknown {
  const code = errnoCode(error);
  if (error instanceof DatamoverError || code === undefined) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DatamoverError('SCRATCH_FULL', `no space left in scratch while writing ${path}`, {
      hint: 'free space there, or choose a larger directory with --scratch; `restore --dry-run` shows how much is needed',
      cause: error,
    });
  }
  const exhausted = exhaustion(error);
  if (exhausted !== undefined) {
    return new DatamoverError('SCRATCH_UNUSABLE', `scratch cannot be used: ${path}: ${exhausted.why}`, {
      hint: exhausted.hint,
      cause: error,
    });
  }
  return new DatamoverError('SCRATCH_UNUSABLE', `scratch cannot be used: ${path}: ${messageOf(error)}`, {
    hint: 'choose a directory that this user can write to with --scratch',
    cause: error,
  });
}
