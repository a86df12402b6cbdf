// The disk onto its target by qemu-img: masked, so that the edges are left as they are, converted, compared if asked.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestRange, QemuDisk } from '../chain/virtual-disk.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError } from '../errors.ts';
import { runPhase } from '../progress.ts';
import { convert } from '../qemu/convert.ts';
import { type BlockGraph, cached, fileNode, rawNode, windowNode } from '../qemu/graph.ts';
import { makeMask } from '../qemu/mask.ts';
import { withZeroer } from '../qemu/zero.ts';
import { makeSparseFile } from '../scratch/files.ts';
import { scratchError } from '../scratch/work-folder.ts';
import type { Target, TargetSession } from '../target/target.ts';
import { compareTarget } from './compare-target.ts';
import type { Run } from './options.ts';
import { targetNode } from './target-node.ts';
import type { ReadEdges, WriteOptions } from './write-options.ts';
import { checkWritten, prepareImage, writeCache } from './written-image.ts';

/** Writes body and tail, flushed, and compares the body. The edges are read when they are asked for. */
export async function convertDisk(
  run: Run,
  session: TargetSession,
  options: WriteOptions<QemuDisk>,
): Promise<ReadEdges> {
  const { disk } = options;
  const source = await maskDisk(session, disk.node, options);
  await writeBody(run, session, source, options);
  if (run.options.verify === 'compare') {
    // A raw image in scratch, from which the target was written, proves nothing of the chain.
    const shown = disk.chain === disk.node ? source : await maskDisk(session, disk.chain, options);
    await compareBody(run, session, shown, options);
  }
  // Each of them opens the chain, which takes 0.2 s for 200 layers.
  return async () =>
    await mapBounded(session.edges, { limit: EDGES_AT_A_TIME, signal: run.signal }, async (edge, inner) => {
      return await disk.reading(edge, (signal) => {
        return readDiskRange(disk, edge, { folder: options.folder, signal: AbortSignal.any([signal, inner]) });
      });
    });
}

/** All that a target has. */
const EDGES_AT_A_TIME = 2;

/** The disk as it is to lie on the target until its edges are written. */
async function maskDisk(
  session: TargetSession,
  shown: BlockGraph,
  { disk, folder }: WriteOptions<QemuDisk>,
): Promise<BlockGraph> {
  const { mask } = session;
  if (mask === undefined) return shown;
  const path = join(folder, 'mask.qcow2');
  try {
    await writeFile(join(folder, 'claim'), mask.head, { mode: 0o600 });
    await rm(path, { force: true });
  } catch (error) {
    throw scratchError(error, path);
  }
  const head = { name: 'claim', length: mask.head.length };
  return await disk.reading(NOTHING_FORESEEN, (signal) =>
    makeMask({ path, below: shown, size: disk.size, head, zeros: mask.zeros, signal }),
  );
}

/** What making a mask reads of the disk around its edges. */
const NOTHING_FORESEEN = { offset: 0, length: 0 };

async function writeBody(
  run: Run,
  session: TargetSession,
  source: BlockGraph,
  { chain, target, disk, tally }: WriteOptions<QemuDisk>,
): Promise<void> {
  const pvc = chain.disk.name;
  const { body, tail } = session;
  const total = disk.size + (tail?.length ?? 0);
  await runPhase(run.options.progress, { pvc, phase: 'convert', total, seconds: tally.seconds }, async (onBytes) => {
    await prepareImage(run, session, { target, disk });
    if (body.length > 0) {
      const cache = writeCache(run, session, target);
      await disk.reading(body, (signal) =>
        convert({
          source,
          target: cached(targetNode(target, session.writePath), cache),
          cache,
          compress: target.format === 'qcow2' && run.options.compress === true,
          targetIsZero: session.isZero,
          destination: { kind: 'target', name: target.path },
          onProgress: (fraction) => onBytes(Math.round(fraction * disk.size), total),
          signal,
        }),
      );
    }
    if (tail !== undefined) {
      let done = disk.size;
      const onStep = (count: number): void => {
        done += count;
        onBytes(done, total);
      };
      await withZeroer(zeroing(session, run), (zeroer) => zeroer.zero(tail, onStep));
    }
    await session.flush();
    await checkWritten(run, session, target);
  });
}

/** What zeroes ranges of a target. */
export function zeroing(
  { writePath: path, driver, cache }: TargetSession,
  { signal }: Run,
): Parameters<typeof withZeroer>[0] {
  return { path, device: driver === 'host_device', cache, signal };
}

async function compareBody(
  run: Run,
  session: TargetSession,
  a: BlockGraph,
  { chain, target, disk: guest, tally }: WriteOptions<QemuDisk>,
): Promise<void> {
  const { body: range, cache } = session;
  if (range.length === 0) return;
  const b = sessionNode(target, session, guest.size);
  const { path } = target;
  const mismatch = (place: string): DatamoverError => writtenDiffers(path, place);
  await compareTarget(run, { pvc: chain.disk.name, path, guest, range, tally, mismatch, a, b, cache });
}

/** VERIFY_MISMATCH of what this run wrote; `place` is empty, or says where it is. */
export function writtenDiffers(path: string, place: string): DatamoverError {
  return new DatamoverError('VERIFY_MISMATCH', `${path} differs from the backup${place} after it was written`, {
    hint: 'do not boot from it: the device lost or changed written data; check its health (`dmesg`), and restore to another one',
  });
}

async function readDiskRange(
  disk: QemuDisk,
  range: GuestRange,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const path = join(folder, `edge-${range.offset}.raw`);
  try {
    await makeSparseFile(path, range.length);
    await convert({
      source: window(disk.chain, range),
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

/** The disk on the target, of `size` bytes; a device may be larger than it. */
function sessionNode(target: Target, { writePath, cache }: TargetSession, size: number): BlockGraph {
  const node = cached(targetNode(target, writePath), cache);
  return target.format === 'raw' ? window(node, { offset: 0, length: size }) : node;
}

function window(
  node: BlockGraph,
  { offset, length }: { readonly offset: number; readonly length: number },
): BlockGraph {
  return windowNode(node, { offset, size: length });
}
