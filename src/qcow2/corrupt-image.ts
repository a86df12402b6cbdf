import { DatamoverError } from '../errors.ts';

/** IMAGE_CORRUPT: `why` says what about the image at `where` breaks the format. */
export function corruptImage(
  where: string,
  why: string,
  hint = 'the layer is damaged: get another copy of it, or restore an earlier checkpoint',
): DatamoverError {
  return new DatamoverError('IMAGE_CORRUPT', `${where}: invalid qcow2 image: ${why}`, { hint });
}
