// Writes a disk onto its target in the order of design section 8: claim, body, tail, flush, compare, edges last. What
// goes wrong on the way is undone as far as an orderly end can: the claim is wiped, a file's beginning is removed.
import { runPhase } from '../progress.ts';
import { scratchError } from '../scratch/work-folder.ts';
import type { TargetSession } from '../target/target.ts';
import { carryDisk } from './carry-disk.ts';
import { convertDisk } from './convert-disk.ts';
import { recordExpected } from './finished.ts';
import type { Run } from './options.ts';
import type { ReadEdges, WriteOptions } from './write-options.ts';

/** Resolves when the target holds the disk, flushed. Rejects with the first error, after the claim was taken back. */
export async function writeTarget(run: Run, options: WriteOptions): Promise<void> {
  const { chain, target, disk, tally } = options;
  const pvc = chain.disk.name;
  const session = await target.begin({
    claim: { planId: run.planId, pvc, diskSize: disk.size, runId: run.runId },
    diskSize: disk.size,
    replace: run.options.force,
    signal: run.signal,
  });
  try {
    const readEdges =
      disk.kind === 'carried'
        ? await carryDisk(run, session, { ...options, disk })
        : await convertDisk(run, session, { ...options, disk });
    await finish(run, session, options, readEdges);
    if (tally.verified) tally.verifiedBy = disk.kind === 'carried' ? 'read-back' : 'compare';
  } catch (error) {
    const { problem } = await session.abandon();
    if (problem !== undefined) run.options.progress.report({ type: 'warning', pvc, message: problem });
    throw error;
  }
}

/** The edges are written by us; `finish` of the session proves them by reading back. */
async function finish(
  run: Run,
  session: TargetSession,
  { chain, target, tally }: WriteOptions,
  readEdges: ReadEdges,
): Promise<void> {
  const { seconds } = tally;
  await runPhase(run.options.progress, { pvc: chain.disk.name, phase: 'finalize', seconds }, async () => {
    const edges = await readEdges();
    run.signal.throwIfAborted();
    const { journal, path } = run.folder;
    await recordExpected(journal, { chain, target, runId: run.runId }, { session, edges }).catch((error: unknown) => {
      throw scratchError(error, path);
    });
    const { warnings } = await session.finish(edges);
    for (const message of warnings) run.options.progress.report({ type: 'warning', pvc: chain.disk.name, message });
    tally.warnings.push(...warnings);
  });
  tally.verified = run.options.verify === 'compare';
}
