// `--verify compare`: does the target show what the chain shows?

import type { CheckedChain } from '../chain/check-layers.ts';
import type { PvcStats } from '../chain/tally.ts';
import type { CarriedDisk, GuestRange, QemuDisk } from '../chain/virtual-disk.ts';
import { cacheModeOf } from '../direct-io.ts';
import { DatamoverError } from '../errors.ts';
import { runPhase } from '../progress.ts';
import { type CompareOptions, compare } from '../qemu/compare.ts';
import { windowNode } from '../qemu/graph.ts';
import type { CompletedDisk } from '../scratch/journal-state.ts';
import { Comparison } from '../stream/copy/comparison.ts';
import type { Target } from '../target/target.ts';
import { keptDiffers } from './kept.ts';
import type { Run } from './options.ts';
import { targetNode } from './target-node.ts';
import { withDisk } from './with-disk.ts';

export interface CompareTargetOptions extends Pick<CompareOptions, 'a' | 'b' | 'cache'> {
  readonly pvc: string;
  /** The target, as messages name it. */
  readonly path: string;
  readonly guest: QemuDisk;
  /** What of the disk is read. */
  readonly range: GuestRange;
  readonly tally: PvcStats;
  /** The error for a difference; `place` is empty, or says where it is. */
  readonly mismatch: (place: string) => DatamoverError;
}

/** Rejects with `mismatch`'s error when they differ, and as `compare`. */
export async function compareTarget(run: Run, options: CompareTargetOptions): Promise<void> {
  const { pvc, path, guest, range, tally, mismatch, ...graphs } = options;
  const { size } = guest;
  const { seconds } = tally;
  await runPhase(run.options.progress, { pvc, phase: 'verify', total: size, seconds }, async (onBytes) => {
    const comparison = await guest.reading(range, (signal) =>
      compare({ ...graphs, name: path, onProgress: (fraction) => onBytes(Math.round(fraction * size), size), signal }),
    );
    if (comparison.identical) return;
    throw mismatch(comparison.offset === undefined ? '' : ` at byte ${comparison.offset}`);
  });
}

/** Compares all of a target that an earlier run completed; one that differs no longer counts as completed. */
export async function compareCompleted(
  run: Run,
  options: Pick<CompareTargetOptions, 'tally'> & {
    readonly chain: CheckedChain;
    readonly target: Target;
    readonly completed: CompletedDisk;
    readonly folder: string;
  },
): Promise<void> {
  const { chain, target, completed, folder, tally } = options;
  const pvc = chain.disk.name;
  const { format, path, realPath } = target;
  const mismatch = (place: string): DatamoverError => keptDiffers(completed, target, place);
  await withDisk(run, { chain, target, folder, tally }, async (disk) => {
    if (disk.kind === 'carried') {
      await compareCarried(run, disk, { pvc, target, tally, mismatch });
      return;
    }
    const node = targetNode(target, realPath);
    const cache = await cacheModeOf(realPath);
    const range = { offset: 0, length: disk.size };
    const b = format === 'raw' ? windowNode(node, { offset: 0, size: disk.size }) : node;
    await compareTarget(run, { pvc, path, guest: disk, range, tally, mismatch, a: disk.chain, b, cache });
  }).catch(async (error: unknown) => {
    if (error instanceof DatamoverError && error.code === 'VERIFY_MISMATCH') await run.folder.journal.reopen(pvc);
    throw error;
  });
  tally.verified = true;
  tally.verifiedBy = 'compare';
}

/** The disk is received again, and each range of it compared with the target's. */
async function compareCarried(
  run: Run,
  disk: CarriedDisk,
  {
    pvc,
    target,
    tally,
    mismatch,
  }: Pick<CompareTargetOptions, 'pvc' | 'tally' | 'mismatch'> & { readonly target: Target },
): Promise<void> {
  const { size } = disk;
  const { seconds } = tally;
  await runPhase(run.options.progress, { pvc, phase: 'verify', total: size, seconds }, async (onBytes) => {
    let done = 0;
    const onDone = (count: number): void => {
      done += count;
      onBytes(done, size);
    };
    await target.reading(async (io) => {
      const comparison = new Comparison({
        unit: io.unit,
        read: (room, offset) => io.read(room, offset),
        mismatch: (offset) => mismatch(` at byte ${offset}`),
        signal: run.signal,
      });
      try {
        await disk.carry({ destination: comparison, onDone });
      } finally {
        comparison.close();
      }
    });
  });
}
