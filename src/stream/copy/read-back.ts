// Reads a target back and holds it against the checksums that were taken while the disk was received.
import { crc32 } from 'node:zlib';
import type { ByteRange } from '../../units.ts';
import { inChunks, readInOrder } from './read-in-order.ts';
import type { SectionChecksum } from './section-checksums.ts';

export interface ReadBackOptions {
  /** In the order of the disk, without gaps. */
  readonly sections: Iterable<SectionChecksum>;
  /** Fills `room`, which starts at a page, from `offset` of the target on. */
  readonly read: (room: Uint8Array, offset: number) => Promise<void>;
  readonly onDone: (count: number) => void;
  readonly signal: AbortSignal;
}

/** The first section whose bytes are not those that were received; undefined when there is none. Rejects as `read` does. */
export async function findDifference(options: ReadBackOptions): Promise<ByteRange | undefined> {
  const { sections, read, onDone, signal } = options;
  let crc = 0;
  let different: SectionChecksum | undefined;
  const take = (bytes: Uint8Array, { section, range }: Place): boolean => {
    crc = crc32(bytes, range.offset === section.offset ? 0 : crc);
    onDone(range.length);
    const isLast = range.offset + range.length === section.offset + section.length;
    if (isLast && crc !== section.crc) different = section;
    return different === undefined;
  };
  await readInOrder({ places: placesOf(sections), read, take, signal });
  return different;
}

interface Place {
  readonly section: SectionChecksum;
  readonly range: ByteRange;
}

function* placesOf(sections: Iterable<SectionChecksum>): Generator<Place, void, undefined> {
  for (const section of sections) {
    for (const { range } of inChunks(section)) yield { section, range };
  }
}
