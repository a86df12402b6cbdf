// Which target names mean a file that may be created, and the format of a file of that name.
import type { Problem } from './errors.ts';

export type FileFormat = 'raw' | 'qcow2';

/** Whether `path` ends as a target file does. Any other name that does not exist may be a mistyped device. */
export function isTargetFileName(path: string): boolean {
  return /\.(raw|img|qcow2)$/.test(path);
}

/** How a disk is stored in a file of this name. A block device holds raw bytes, whatever its name. */
export function fileFormatOf(path: string): FileFormat {
  return path.endsWith('.qcow2') ? 'qcow2' : 'raw';
}

/** USAGE for `--compress` where none of `targets` can be compressed. */
export function compressProblems(targets: readonly string[]): Problem[] {
  if (targets.some((target) => fileFormatOf(target) === 'qcow2')) return [];
  return [
    {
      code: 'USAGE',
      message: '--compress requires a target file that ends in .qcow2',
      hint: 'remove --compress, or restore to a file that ends in .qcow2',
    },
  ];
}
