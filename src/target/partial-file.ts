// The file beside a raw file's place: its name, and whether what bears that name is still the one we made.
import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { undefinedIfMissing } from '../missing.ts';

/**
 * The place of the file that is written until `realPath` may have its name: in the same folder, the same for every run of
 * one plan (`tag`), and told apart from other targets'. A long name is replaced by its hash.
 */
export function partialPathOf(realPath: string, tag: string): string {
  const name = basename(realPath);
  const whole = `${name}.${tag}.partial`;
  if (Buffer.byteLength(whole) <= NAME_MAX) return join(dirname(realPath), whole);
  const short = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return join(dirname(realPath), `${short}.${tag}.partial`);
}

/** Bytes of one name in a folder: limits.h, and every file system that Linux has for this use. */
const NAME_MAX = 255;

/** Whether both names are there and are links to one file. */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([fileId(one), fileId(other)]);
  return a !== undefined && a === b;
}

/** Device and inode of a name, not of what a link leads to; undefined where there is none. */
export async function fileId(path: string): Promise<string | undefined> {
  const found = await undefinedIfMissing(lstat(path, { bigint: true }));
  return found && `${found.dev}:${found.ino}`;
}
