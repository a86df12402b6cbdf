// The disk by the strategy that was asked for.
import type { VirtualDisk } from '../chain/virtual-disk.ts';
import { type StageOptions, withStagedGuest } from '../staged/staged.ts';
import { withStreamedDisk } from '../stream/stream.ts';
import type { Target } from '../target/target.ts';
import type { Run } from './options.ts';

/** Gives `work` the disk of a chain, for this target; what was made for it in `folder` is the caller's to remove. */
export async function withDisk<T>(
  run: Run,
  options: StageOptions & { readonly target: Target },
  work: (disk: VirtualDisk) => Promise<T>,
): Promise<T> {
  const { sectorSize, format } = options.target;
  if (run.options.strategy === 'stream')
    return await withStreamedDisk(run, { ...options, sectorSize, throughQemu: format === 'qcow2' }, work);
  return await withStagedGuest(run, options, work);
}
