// A file system that was full in spite of the check: how much was needed, and how much there was.
import { dirname } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { freeSpaceAt } from '../free-space.ts';
import type { SpaceNeed } from './space.ts';
import { exactly } from './space-words.ts';

/**
 * A SCRATCH_FULL, or a TARGET_FULL of a raw file, with what the check found needed and available for it, and what is available
 * now; any other error as it is. `needs` are those of the PVC, `folder` is where the run works.
 */
export async function withSpaceDetails(
  error: DatamoverError,
  { needs, folder }: { readonly needs: readonly SpaceNeed[]; readonly folder: string },
): Promise<DatamoverError> {
  const { code, message, hint, cause, pvc } = error;
  const inScratch = code === 'SCRATCH_FULL';
  if (!inScratch && code !== 'TARGET_FULL') return error;
  const need = needs.find(({ where, file }) => (inScratch ? where === 'scratch' : file !== undefined));
  if (need === undefined && !inScratch) return error;
  const details = need === undefined ? `${await availableNow(folder)} available now` : await detailsOf(need);
  return new DatamoverError(code, `${message}: ${details}`, { hint, cause, ...(pvc === undefined ? {} : { pvc }) });
}

async function detailsOf({ path, file, certain, wanted, available }: SpaceNeed): Promise<string> {
  const needed = certain === 0 ? `up to ${exactly(wanted)}` : `at least ${exactly(certain)}, up to ${exactly(wanted)}`;
  const before = available === undefined ? 'an unknown number of bytes' : exactly(available);
  const now = await availableNow(file === undefined ? path : dirname(file));
  return `${needed} needed; ${before} available at the check, ${now} now`;
}

async function availableNow(path: string): Promise<string> {
  const { bytes, files } = await freeSpaceAt(path);
  return `${bytes === undefined ? 'an unknown number of bytes' : exactly(bytes)}${files === 0 ? ' and no inode' : ''}`;
}
