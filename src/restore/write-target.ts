// Writes a disk onto its target in the order of design section 8: claim, body, tail, flush, compare, edges last. What
// goes wrong on the way is undone as far as an orderly end can: the claim is wiped, a file's beginning is removed.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckedChain } from '../chain/check-layers.ts';
import type { PvcStats } from '../chain/tally.ts';
import type { GuestRange, VirtualDisk } from '../chain/virtual-disk.ts';
import { DatamoverError } from '../errors.ts';
import { runPhase } from '../progress.ts';
import { convert } from '../qemu/convert.ts';
import { type BlockGraph, cached, deviceNode, fileNode, rawNode, windowNode } from '../qemu/graph.ts';
import { makeMask } from '../qemu/mask.ts';
import { zeroRange } from '../qemu/zero.ts';
import { makeSparseFile } from '../scratch/files.ts';
import { scratchError } from '../scratch/work-folder.ts';
import type { Target, TargetSession } from '../target/target.ts';
import { compareTarget } from './compare-target.ts';
import { recordExpected } from './finished.ts';
import type { Run } from './options.ts';

export interface WriteOptions {
  readonly chain: CheckedChain;
  readonly target: Target;
  readonly guest: VirtualDisk;
  /** A folder of ours for the mask and a MiB of edges. */
  readonly folder: string;
  readonly tally: PvcStats;
}

/** Resolves when the target holds the disk, flushed. Rejects with the first error, after the claim was taken back. */
export async function writeTarget(run: Run, options: WriteOptions): Promise<void> {
  const { chain, target, guest } = options;
  const pvc = chain.disk.name;
  const session = await target.begin({
    claim: { planId: run.planId, pvc, diskSize: guest.size, runId: run.runId },
    diskSize: guest.size,
    replace: run.options.force,
    signal: run.signal,
  });
  try {
    const source = await maskDisk(session, guest.node, options);
    await writeBody(run, session, source, options);
    if (run.options.verify === 'compare') {
      // A raw image in scratch, from which the target was written, proves nothing of the chain.
      const shown = guest.chain === guest.node ? source : await maskDisk(session, guest.chain, options);
      await compareBody(run, session, shown, options);
    }
    await finish(run, session, options);
  } catch (error) {
    await abandon(run, session, pvc);
    throw error;
  }
}

/** The disk as it is to lie on the target until its edges are written. */
async function maskDisk(
  session: TargetSession,
  disk: BlockGraph,
  { guest, folder }: WriteOptions,
): Promise<BlockGraph> {
  const { mask } = session;
  if (mask === undefined) return disk;
  const path = join(folder, 'mask.qcow2');
  try {
    await writeFile(join(folder, 'claim'), mask.head, { mode: 0o600 });
    await rm(path, { force: true });
  } catch (error) {
    throw scratchError(error, path);
  }
  const head = { name: 'claim', length: mask.head.length };
  return await guest.reading(NOTHING_FORESEEN, (signal) =>
    makeMask({ path, below: disk, size: guest.size, head, zeros: mask.zeros, signal }),
  );
}

/** What making a mask reads of the disk around its edges. */
const NOTHING_FORESEEN = { offset: 0, length: 0 };

async function writeBody(run: Run, session: TargetSession, source: BlockGraph, options: WriteOptions): Promise<void> {
  const { chain, target, guest, tally } = options;
  const pvc = chain.disk.name;
  const { body, tail } = session;
  const total = guest.size + (tail?.length ?? 0);
  await runPhase(run.options.progress, { pvc, phase: 'convert', total, seconds: tally.seconds }, async (onBytes) => {
    if (body.length > 0) {
      await guest.reading(body, (signal) =>
        convert({
          source,
          target: targetNode(session),
          cache: session.cache,
          targetIsZero: session.isZero,
          destination: { kind: 'target', name: target.path },
          onProgress: (fraction) => onBytes(Math.round(fraction * guest.size), total),
          signal,
        }),
      );
    }
    if (tail !== undefined) {
      await zeroRange({
        path: session.writePath,
        device: session.driver === 'host_device',
        ...tail,
        cache: session.cache,
        fast: target.fastZero,
        onProgress: (done) => onBytes(guest.size + done, total),
        signal: run.signal,
      });
    }
    await session.flush();
  });
}

async function compareBody(run: Run, session: TargetSession, a: BlockGraph, options: WriteOptions): Promise<void> {
  const { chain, target, guest, tally } = options;
  const { body: range, cache } = session;
  if (range.length === 0) return;
  const b = window(targetNode(session), { offset: 0, length: guest.size });
  const { path } = target;
  const mismatch = (place: string): DatamoverError => writtenDiffers(path, place);
  await compareTarget(run, { pvc: chain.disk.name, path, guest, range, tally, mismatch, a, b, cache });
}

function writtenDiffers(path: string, place: string): DatamoverError {
  return new DatamoverError('VERIFY_MISMATCH', `${path} differs from the backup${place} after it was written`, {
    hint: 'do not boot from it: the device lost or changed written data; check its health (`dmesg`), and restore to another one',
  });
}

/** The edges are read from the chain, and written by us; `finish` proves them by reading back. */
async function finish(
  run: Run,
  session: TargetSession,
  { chain, target, guest, folder, tally }: WriteOptions,
): Promise<void> {
  const { seconds } = tally;
  await runPhase(run.options.progress, { pvc: chain.disk.name, phase: 'finalize', seconds }, async () => {
    const edges: Uint8Array[] = [];
    for (const edge of session.edges) {
      edges.push(await guest.reading(edge, (signal) => readDiskRange(guest, edge, { folder, signal })));
    }
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

async function readDiskRange(
  guest: VirtualDisk,
  range: GuestRange,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const path = join(folder, 'edge.raw');
  try {
    await makeSparseFile(path, range.length);
    await convert({
      source: window(guest.chain, range),
      target: rawNode(fileNode(path)),
      cache: 'writeback',
      targetIsZero: true,
      destination: { kind: 'scratch', name: path },
      signal,
    });
    return await readFile(path);
  } catch (error) {
    throw scratchError(error, path);
  } finally {
    await rm(path, { force: true });
  }
}

async function abandon(run: Run, session: TargetSession, pvc: string): Promise<void> {
  const { problem } = await session.abandon();
  if (problem !== undefined) run.options.progress.report({ type: 'warning', pvc, message: problem });
}

function targetNode(session: TargetSession): BlockGraph {
  const node = session.driver === 'host_device' ? deviceNode(session.writePath) : fileNode(session.writePath);
  return cached(rawNode(node), session.cache);
}

function window(
  node: BlockGraph,
  { offset, length }: { readonly offset: number; readonly length: number },
): BlockGraph {
  return windowNode(node, { offset, size: length });
}
