// The disk onto its target by the copy engine: body and edges come on the same way, but the edges wait in memory.
import type { Destination, Prepared } from '../chain/destination.ts';
import type { CarriedDisk } from '../chain/virtual-disk.ts';
import { runPhase } from '../progress.ts';
import { withZeroer, type Zeroer } from '../qemu/zero.ts';
import { findDifference } from '../stream/copy/read-back.ts';
import { SectionChecksums } from '../stream/copy/section-checksums.ts';
import type { TargetSession } from '../target/target.ts';
import type { ByteRange } from '../units.ts';
import { writtenDiffers, zeroing } from './convert-disk.ts';
import type { Run } from './options.ts';
import type { ReadEdges, WriteOptions } from './write-options.ts';

/** Writes body and tail, flushed, and reads the body back if asked. The edges are kept for the end. */
export async function carryDisk(
  run: Run,
  session: TargetSession,
  options: WriteOptions<CarriedDisk>,
): Promise<ReadEdges> {
  const { chain, disk, tally } = options;
  const { body, tail } = session;
  const pvc = chain.disk.name;
  const edges = session.edges.map(({ offset, length }) => ({ offset, bytes: new Uint8Array(length) }));
  const witness = run.options.verify === 'compare' ? new SectionChecksums(body) : undefined;
  const total = disk.size + (tail?.length ?? 0);
  await runPhase(run.options.progress, { pvc, phase: 'copy', total, seconds: tally.seconds }, async (onBytes) => {
    let done = 0;
    const onDone = (count: number): void => {
      done += count;
      onBytes(done, total);
    };
    await withZeroer(zeroing(session, run), async (zeroer) => {
      await disk.carry({ destination: new TargetDestination({ session, edges, zeroer }), witness, onDone });
      if (tail !== undefined) await zeroer.zero(tail, onDone);
    });
    await session.flush();
  });
  if (witness !== undefined) await compareBody(run, session, options, witness);
  return async () => edges.map(({ bytes }) => bytes);
}

/**
 * Zeroes the body before anything is written, where that costs next to nothing: then no zeros are written one by one. What the
 * first step zeroed of a slow target is written again.
 */
async function zeroAhead(zeroer: Zeroer, { offset, length }: ByteRange, signal: AbortSignal): Promise<boolean> {
  const first = Math.min(length, zeroer.firstStep);
  await zeroer.zero({ offset, length: first });
  if (zeroer.fast !== true) return false;
  await zeroer.zero({ offset: offset + first, length: length - first }, () => signal.throwIfAborted());
  return true;
}

interface Edge {
  readonly offset: number;
  /** Zeros, until it is written to. */
  readonly bytes: Uint8Array;
}

interface TargetDestinationOptions {
  readonly session: TargetSession;
  readonly edges: readonly Edge[];
  readonly zeroer: Zeroer;
}

/** The body goes to the target, the edges to memory. */
class TargetDestination implements Destination {
  readonly unit: number;
  readonly #options: TargetDestinationOptions;

  constructor(options: TargetDestinationOptions) {
    this.#options = options;
    this.unit = options.session.io.unit;
  }

  async prepare(signal: AbortSignal): Promise<Prepared> {
    const { session, zeroer } = this.#options;
    return { readsZero: session.isZero || (await zeroAhead(zeroer, session.body, signal)) };
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    const { body, io } = this.#options.session;
    const isBody = offset >= body.offset && offset + bytes.length <= body.offset + body.length;
    return isBody ? io.write(bytes, offset) : this.#writeEdges(bytes, offset);
  }

  async #writeEdges(bytes: Uint8Array, offset: number): Promise<void> {
    const { session, edges } = this.#options;
    const part = ({ offset: start, length }: ByteRange): { at: number; bytes: Uint8Array } => {
      const from = Math.max(start, offset);
      const to = Math.min(start + length, offset + bytes.length);
      return { at: from, bytes: from < to ? bytes.subarray(from - offset, to - offset) : bytes.subarray(0, 0) };
    };
    for (const edge of edges) {
      const own = part({ offset: edge.offset, length: edge.bytes.length });
      if (own.bytes.length > 0) edge.bytes.set(own.bytes, own.at - edge.offset);
    }
    const own = part(session.body);
    if (own.bytes.length > 0) await session.io.write(own.bytes, own.at);
  }

  async zero({ offset, length }: ByteRange): Promise<void> {
    const { session, zeroer } = this.#options;
    const from = Math.max(offset, session.body.offset);
    const to = Math.min(offset + length, session.body.offset + session.body.length);
    if (from < to) await zeroer.zero({ offset: from, length: to - from });
  }
}

/** VERIFY_MISMATCH when the target does not give back what was received. The edges are proven when they are written. */
async function compareBody(
  run: Run,
  session: TargetSession,
  { chain, target, disk, tally }: WriteOptions<CarriedDisk>,
  witness: SectionChecksums,
): Promise<void> {
  const { size } = disk;
  const { progress } = run.options;
  const pvc = chain.disk.name;
  await runPhase(progress, { pvc, phase: 'verify', total: size, seconds: tally.seconds }, async (onBytes) => {
    let done = size - session.body.length;
    const different = await findDifference({
      sections: witness.inOrder(),
      read: (room, offset) => session.io.read(room, offset),
      onDone: (count) => {
        done += count;
        onBytes(done, size);
      },
      signal: run.signal,
    });
    if (different === undefined) return;
    const { offset, length } = different;
    throw writtenDiffers(target.path, ` in bytes ${offset} to ${offset + length}`);
  });
}
