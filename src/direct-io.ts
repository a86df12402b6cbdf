// Whether a file can be read and written past the page cache (O_DIRECT): some file systems refuse that, tmpfs before Linux 6.6,
// ramfs and some FUSE ones among them.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { systemCode } from './errors.ts';

/** How a file or device is opened: past the page cache, or through it. The names are those of QEMU's cache modes. */
export type CacheMode = 'none' | 'writeback';

/** `none` where the file at `path` can be opened with O_DIRECT. Rejects with the system's error when it cannot be read. */
export async function cacheModeOf(path: string): Promise<CacheMode> {
  try {
    await (await open(path, constants.O_RDONLY | constants.O_DIRECT)).close();
    return 'none';
  } catch (error) {
    // Such file systems refuse the opening itself.
    if (systemCode(error) === 'EINVAL') return 'writeback';
    throw error;
  }
}
