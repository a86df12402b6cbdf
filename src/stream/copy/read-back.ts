// Reads a target back and holds it against the checksums that were taken while the disk was received.
import { crc32 } from 'node:zlib';
import { type ByteRange, MiB } from '../../units.ts';
import { borrowMemory } from '../fetch/memory.ts';
import type { SectionChecksum } from './section-checksums.ts';

export interface ReadBackOptions {
  /** In the order of the disk, without gaps. */
  readonly sections: Iterable<SectionChecksum>;
  /** Fills `room`, which starts at a page, from `offset` of the target on. */
  readonly read: (room: Uint8Array, offset: number) => Promise<void>;
  readonly onDone: (count: number) => void;
  readonly signal: AbortSignal;
}

const CHUNK = 4 * MiB;
/** Chunks read ahead: enough to keep a device busy while one is summed up. */
const AHEAD = 4;

/** The first section whose bytes are not those that were received; undefined when there is none. Rejects as `read` does. */
export async function findDifference(options: ReadBackOptions): Promise<ByteRange | undefined> {
  const { sections, onDone } = options;
  const memory = borrowMemory(CHUNK * AHEAD);
  const ahead: Chunk[] = [];
  try {
    const ranges = rangesOf(sections);
    for (let index = 0; index < AHEAD; index += 1) {
      startNext(ranges, ahead, memory.bytes.subarray(index * CHUNK, (index + 1) * CHUNK), options);
    }
    let crc = 0;
    for (let chunk = ahead[0]; chunk !== undefined; chunk = ahead[0]) {
      const { section, range, room } = chunk;
      await chunk.read;
      ahead.shift();
      crc = crc32(room.subarray(0, range.length), range.offset === section.offset ? 0 : crc);
      onDone(range.length);
      if (range.offset + range.length === section.offset + section.length && crc !== section.crc) return section;
      startNext(ranges, ahead, room, options);
    }
    return undefined;
  } finally {
    // No read may reach the memory later.
    await Promise.allSettled(ahead.map(({ read }) => read));
    memory.giveBack();
  }
}

interface Place {
  readonly section: SectionChecksum;
  readonly range: ByteRange;
}

interface Chunk extends Place {
  /** The buffer, of which the range fills the first bytes. */
  readonly room: Uint8Array;
  readonly read: Promise<void>;
}

function startNext(places: Iterator<Place>, ahead: Chunk[], room: Uint8Array, { read, signal }: ReadBackOptions): void {
  const next = places.next();
  if (next.done === true) return;
  signal.throwIfAborted();
  const reading = read(room.subarray(0, next.value.range.length), next.value.range.offset);
  // The loop awaits it, in its turn.
  reading.catch(() => {});
  ahead.push({ ...next.value, room, read: reading });
}

function* rangesOf(sections: Iterable<SectionChecksum>): Generator<Place, void, undefined> {
  for (const section of sections) {
    for (let done = 0; done < section.length; done += CHUNK) {
      yield { section, range: { offset: section.offset + done, length: Math.min(CHUNK, section.length - done) } };
    }
  }
}
