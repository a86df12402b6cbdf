// The disk by the strategy that was asked for.
import type { VirtualDisk } from '../chain/virtual-disk.ts';
import { type StageOptions, withStagedGuest } from '../staged/staged.ts';
import { withStreamedGuest } from '../stream/stream.ts';
import type { Run } from './options.ts';

/** Gives `work` the disk of a chain; what was made for it in `folder` is the caller's to remove. */
export async function withGuest<T>(
  run: Run,
  options: StageOptions,
  work: (guest: VirtualDisk) => Promise<T>,
): Promise<T> {
  if (run.options.strategy === 'stream') return await withStreamedGuest(run, options, work);
  return await withStagedGuest(run, options, work);
}
