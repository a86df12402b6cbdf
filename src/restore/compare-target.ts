// `--verify compare`: does the target show what the chain shows?

import type { CheckedChain } from '../chain/check-layers.ts';
import type { Tally } from '../chain/tally.ts';
import type { Guest, GuestRange } from '../chain/virtual-disk.ts';
import { cacheModeOf } from '../direct-io.ts';
import { DatamoverError } from '../errors.ts';
import { type CompareOptions, compare } from '../qemu/compare.ts';
import { deviceNode, fileNode, rawNode, windowNode } from '../qemu/graph.ts';
import type { Target } from '../target/target.ts';
import { recordFinished } from './finished.ts';
import { type Run, runPhase } from './run.ts';
import { withGuest } from './with-disk.ts';

export interface CompareTargetOptions extends Pick<CompareOptions, 'a' | 'b' | 'cache'> {
  readonly pvc: string;
  readonly path: string;
  readonly guest: Guest;
  /** What of the disk is read. */
  readonly range: GuestRange;
  readonly tally: Tally;
}

/** VERIFY_MISMATCH when they differ, and as `compare`. */
export async function compareTarget(run: Run, options: CompareTargetOptions): Promise<void> {
  const { pvc, path, guest, range, tally, ...graphs } = options;
  const { size } = guest;
  const { seconds } = tally;
  await runPhase(run, { pvc, phase: 'verify', total: size, seconds }, async (onBytes) => {
    const comparison = await guest.reading(range, (signal) =>
      compare({ ...graphs, name: path, onProgress: (fraction) => onBytes(Math.round(fraction * size), size), signal }),
    );
    if (comparison.identical) return;
    const place = comparison.offset === undefined ? '' : ` at byte ${comparison.offset}`;
    throw new DatamoverError('VERIFY_MISMATCH', `${path} differs from the backup${place} after it was written`, {
      hint: 'the device lost or changed what was written: do not boot from it, look at its health (dmesg), restore onto another one',
    });
  });
}

/** Compares all of a target that an earlier run finished, and records that; one that differs counts as finished no more. */
export async function compareFinished(
  run: Run,
  {
    chain,
    target,
    folder,
    tally,
  }: { readonly chain: CheckedChain; readonly target: Target; readonly folder: string; readonly tally: Tally },
): Promise<void> {
  const { journal } = run.folder;
  const pvc = chain.disk.name;
  const { kind, path, realPath } = target;
  const node = rawNode(kind === 'block' ? deviceNode(realPath) : fileNode(realPath));
  const cache = await cacheModeOf(realPath);
  await withGuest(run, { chain, folder, tally }, async (guest) => {
    const range = { offset: 0, length: guest.size };
    const b = windowNode(node, { offset: 0, size: guest.size });
    await compareTarget(run, { pvc, path, guest, range, tally, a: guest.chain, b, cache });
  }).catch(async (error: unknown) => {
    if (error instanceof DatamoverError && error.code === 'VERIFY_MISMATCH') await journal.reopen(pvc);
    throw error;
  });
  tally.verified = true;
  await recordFinished(journal, { chain, target, verified: true });
}
