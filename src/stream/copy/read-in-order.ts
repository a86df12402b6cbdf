// Reads ranges of a target one after the other, the next few ahead, from the one memory.
import { type ByteRange, MiB } from '../../units.ts';
import { borrowMemory } from '../fetch/memory.ts';

/** Bytes of the largest range. */
const CHUNK = 4 * MiB;
/** Chunks read ahead: enough to keep a device busy while one is summed up. */
const AHEAD = 4;

export interface ReadInOrderOptions<Place extends { readonly range: ByteRange }> {
  /** In the order in which they are read; none is longer than `CHUNK`. */
  readonly places: Iterator<Place, void, undefined>;
  /** Fills `room`, which starts at a page, from `offset` of the target on. */
  readonly read: (room: Uint8Array, offset: number) => Promise<void>;
  /** Sees the bytes of each place in turn, which are overwritten later; false ends the reading. */
  readonly take: (bytes: Uint8Array, place: Place) => boolean;
  readonly signal: AbortSignal;
}

/** Rejects as `read` does, and with the signal's reason; no read is under way any more when it settles. */
export async function readInOrder<Place extends { readonly range: ByteRange }>(
  options: ReadInOrderOptions<Place>,
): Promise<void> {
  const memory = borrowMemory(CHUNK * AHEAD);
  const ahead: Chunk<Place>[] = [];
  try {
    for (let index = 0; index < AHEAD; index += 1) {
      startNext(ahead, memory.bytes.subarray(index * CHUNK, (index + 1) * CHUNK), options);
    }
    for (let chunk = ahead[0]; chunk !== undefined; chunk = ahead[0]) {
      const { place, room } = chunk;
      await chunk.read;
      ahead.shift();
      if (!options.take(room.subarray(0, place.range.length), place)) return;
      startNext(ahead, room, options);
    }
  } finally {
    // No read may reach the memory later.
    await Promise.allSettled(ahead.map(({ read }) => read));
    memory.giveBack();
  }
}

interface Chunk<Place> {
  readonly place: Place;
  /** The buffer, of which the range fills the first bytes. */
  readonly room: Uint8Array;
  readonly read: Promise<void>;
}

function startNext<Place extends { readonly range: ByteRange }>(
  ahead: Chunk<Place>[],
  room: Uint8Array,
  { places, read, signal }: ReadInOrderOptions<Place>,
): void {
  const next = places.next();
  if (next.done === true) return;
  signal.throwIfAborted();
  const { offset, length } = next.value.range;
  const reading = read(room.subarray(0, length), offset);
  // The loop awaits it, in its turn.
  reading.catch(() => {});
  ahead.push({ place: next.value, room, read: reading });
}

/** A range in pieces of at most `CHUNK` bytes. */
export function* inChunks({ offset, length }: ByteRange): Generator<{ readonly range: ByteRange }, void, undefined> {
  for (let done = 0; done < length; done += CHUNK) {
    yield { range: { offset: offset + done, length: Math.min(CHUNK, length - done) } };
  }
}
