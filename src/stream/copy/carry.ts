// The copy engine: qemu-img says which bytes of which object the disk shows, this process carries them to their places.
//
//   qemu-img map ──▶ readExtents ──▶ planPieces ──▶ a buffer each ──▶ ObjectStore.read ──▶ Destination.write
//   (of the served    checked line    a window of     of the one        `concurrency`        O_DIRECT, from
//    tables)          by line         the disk        memory            at a time            the same memory
//                                        │
//                                        └─ ranges of zeros ──▶ Destination.zero
//
// Every stage waits for the one behind it: the map is read no faster than there are buffers, so that memory is bounded
// whatever the size of the disk. A buffer is free when the writes from it have settled.
import { setImmediate } from 'node:timers/promises';
import type { CarryOptions, Prepared, Witness } from '../../chain/destination.ts';
import { Gate } from '../../concurrency.ts';
import { dataRuns } from '../../data-runs.ts';
import type { Qcow2Node } from '../../qemu/graph.ts';
import { mapImage } from '../../qemu/map.ts';
import { alignDown, type ByteRange, KiB, MiB } from '../../units.ts';
import { borrowMemory } from '../fetch/memory.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';
import type { Slots } from '../fetch/slots.ts';
import { Buffers } from './buffers.ts';
import { type DataExtent, readExtents } from './extents.ts';
import { type Piece, planPieces } from './pieces.ts';
import { Tasks } from './tasks.ts';
import { type Write, Writes } from './writes.ts';

export interface CarryPlan extends CarryOptions {
  /** The disk, as qemu sees it. */
  readonly node: Qcow2Node;
  /** Base first. */
  readonly layers: readonly RemoteLayer[];
  /** Bytes of the disk. */
  readonly size: number;
  /** Where fetches wait for their turn. */
  readonly slots: Slots;
  /** Fetches at a time; `slots` may have fewer. */
  readonly concurrency: number;
  /** Bytes of memory for the buffers. */
  readonly window: number;
  /** Writes at a time. */
  readonly writes: number;
  readonly signal: AbortSignal;
}

/**
 * Carries all of the disk to `destination`. When it settles, nothing of it is under way any more: no fetch, no write, no
 * child.
 * @throws DatamoverError as `ObjectStore.read`, `readExtents`, `mapImage` and the destination.
 */
export async function carry(plan: CarryPlan): Promise<void> {
  const { node, layers, size, window, concurrency, destination, witness, onDone } = plan;
  const pieceSize = pieceSizeOf({ window, concurrency });
  const memory = borrowMemory(window);
  try {
    const buffers = new Buffers(memory.bytes, pieceSize);
    await Tasks.run(plan.signal, async (tasks, signal) => {
      const fail = (error: unknown): void => tasks.fail(error);
      const writes = new Writes({ destination, limit: plan.writes, fail, signal });
      const prepared = destination.prepare(signal);
      tasks.add(prepared.then(() => {}));
      const mover = { ...plan, signal, disk: writes, prepared };
      const zeroing = new Gate(1);
      const zero = async ({ offset, length }: ByteRange): Promise<void> => {
        for (let done = 0; done < length; done += ZERO_STEP) {
          signal.throwIfAborted();
          const range = { offset: offset + done, length: Math.min(ZERO_STEP, length - done) };
          if (!(await prepared).readsZero) await destination.zero(range);
          witness?.sawZeros(range);
          onDone?.(range.length);
        }
      };
      const runs = mapImage({ source: node, signal });
      const extents = readExtents({ runs, layers, size, unit: destination.unit });
      for await (const { pieces, zeros } of planPieces(extents, { pieceSize })) {
        // A window's ranges of zeros wait for those of the window before: a slow device holds the map back.
        await zeroing.run(async () => {});
        for (const range of zeros) tasks.add(zeroing.run(() => zero(range)));
        for (const piece of pieces) {
          const buffer = await buffers.take(signal);
          // One a turn of the event loop. A turn is as long as what has come takes to be moved, so from a fast source few reads are
          // under way, whose memory stays in the processor's cache; while nothing comes, the next one begins at once.
          await setImmediate();
          await plan.slots.ready(signal);
          tasks.add(movePiece(piece, buffer, mover).finally(() => buffers.give(buffer)));
        }
      }
    });
  } finally {
    memory.giveBack();
  }
}

/** Where zeros have to be written, a step takes 3 s at 20 MB/s: a cancelled run waits for it. */
const ZERO_STEP = 64 * MiB;

const MAX_PIECE = 4 * MiB;
const MIN_PIECE = 64 * KiB;

/** Half as many buffers more than fetches, for what is being written. */
const BUFFERS_A_FETCH = 1.5;

/** Bytes of the largest piece: 4 MiB, less where that many buffers do not fit into the memory. */
export function pieceSizeOf({ window, concurrency }: Pick<CarryPlan, 'window' | 'concurrency'>): number {
  const share = alignDown(Math.floor(window / (concurrency * BUFFERS_A_FETCH)), MIN_PIECE);
  return Math.min(MAX_PIECE, Math.max(MIN_PIECE, share));
}

/** A cancelled run waits for the writes under way: eight of them take a second at 8 MB/s. */
const MAX_WRITE = MiB;

interface Mover extends CarryPlan {
  readonly disk: Writes;
  readonly prepared: Promise<Prepared>;
}

async function movePiece(piece: Piece, buffer: Uint8Array, mover: Mover): Promise<void> {
  const { slots, signal, disk, prepared, witness, onDone } = mover;
  const { layer, start, end, extents } = piece;
  const length = end - start;
  let filled = 0;
  const room = (): Uint8Array => buffer.subarray(filled, length);
  const take = (count: number): void => {
    filled += count;
  };
  await slots.run(() => layer.fetch(start, length, { room, filled: take }, signal));
  const { readsZero } = await prepared;
  const writes: Write[] = [];
  for (const extent of extents) {
    addWrites(writes, extent, { memory: buffer.subarray(extent.host - start), readsZero, witness });
  }
  await disk.all(writes);
  onDone?.(extents.reduce((sum, extent) => sum + extent.length, 0));
}

interface Received {
  /** Starts with the bytes of the extent. */
  readonly memory: Uint8Array;
  readonly readsZero: boolean;
  readonly witness: Witness | undefined;
}

/** Adds the writes of an extent. */
function addWrites(
  writes: Write[],
  { offset, length, stored }: DataExtent,
  { memory, readsZero, witness }: Received,
): void {
  const bytes = memory.subarray(0, length);
  // An older piece left its bytes there.
  if (stored < length) bytes.fill(0, stored);
  witness?.sawBytes(bytes, offset);
  const runs = readsZero ? dataRuns(bytes) : [[0, length] as const];
  for (const [from, to] of runs) {
    for (let at = from; at < to; at += MAX_WRITE) {
      writes.push({ bytes: bytes.subarray(at, Math.min(at + MAX_WRITE, to)), offset: offset + at });
    }
  }
}
