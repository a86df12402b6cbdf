// What a store refuses before it asks for anything.
import { DatamoverError } from '../errors.ts';
import { formatBytes } from '../units.ts';
import type { ReadRange } from './store.ts';

/** A range that does not lie inside the object is a bug of the caller. */
export function checkRange(key: string, { offset, length, size }: Pick<ReadRange, 'offset' | 'length' | 'size'>): void {
  const whole = [offset, length, size].every((value) => Number.isSafeInteger(value));
  if (whole && offset >= 0 && length >= 1 && offset + length <= size) return;
  throw new RangeError(`${key}: ${length} bytes at ${offset} are no range of ${size} bytes`);
}

/** A document that is too large to be read whole. */
export function tooLarge(where: string, size: number, maxBytes: number): DatamoverError {
  return new DatamoverError(
    'METADATA_INVALID',
    `${where}: document too large: ${formatBytes(size)}, limit ${formatBytes(maxBytes)}`,
    { hint: 'compare it with another copy of the bucket; it is not a document of a backup' },
  );
}
