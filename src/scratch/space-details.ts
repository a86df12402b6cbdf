// A file system that was full in spite of the check: how much was needed, and how much there was.
import { dirname } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { freeSpaceAt } from '../free-space.ts';
import type { SpaceNeed } from './space.ts';
import { exactly } from './space-words.ts';

/**
 * A SCRATCH_FULL, or a TARGET_FULL of a raw file, with what the check found needed and available, and what is available now;
 * any other error as it is.
 */
export async function withSpaceDetails(error: DatamoverError, need: SpaceNeed): Promise<DatamoverError> {
  const isMeant =
    error.code === 'SCRATCH_FULL' ? need.where === 'scratch' : error.code === 'TARGET_FULL' && need.file !== undefined;
  if (!isMeant) return error;
  const { code, message, hint, cause, pvc } = error;
  return new DatamoverError(code, `${message}: ${await detailsOf(need)}`, {
    hint,
    cause,
    ...(pvc === undefined ? {} : { pvc }),
  });
}

async function detailsOf({ path, file, certain, wanted, available }: SpaceNeed): Promise<string> {
  const { bytes, files } = await freeSpaceAt(file === undefined ? path : dirname(file));
  const needed = certain === 0 ? `up to ${exactly(wanted)}` : `at least ${exactly(certain)}, up to ${exactly(wanted)}`;
  const before = available === undefined ? 'an unknown number of bytes' : exactly(available);
  const now = bytes === undefined ? '' : `, ${exactly(bytes)} now`;
  return `${needed} needed; ${before} available at the check${now}${files === 0 ? ', no inode left' : ''}`;
}
