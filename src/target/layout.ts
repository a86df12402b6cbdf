// Where on a target the body, the edges and the tail lie; pure.
//
//   0    head  1 MiB                     last edge    disk end            device end
//   |----|------|--------- body ------------|---------|.........tail.........|
//   claim
//
// All inner borders are multiples of 4 KiB or of the sector, whichever is larger, so that neither we nor qemu-img has
// to read back a block to change a part of it.
import { alignDown, alignUp, type ByteRange, KiB, MiB } from '../units.ts';

export interface DeviceLayout {
  /** Bytes from 0 that are written at the very end: 4 KiB, or a sector where that is larger; all of a smaller device. */
  readonly headSize: number;
  readonly body: ByteRange;
  /** In the order in which they are written: the disk's end, then its beginning. Together with the body: the disk. */
  readonly edges: readonly ByteRange[];
  /** What is zeroed when the device is claimed, beside the head: edges, and the device's last MiB. */
  readonly zeroed: readonly ByteRange[];
  /** What lies beyond the disk, from the first whole sector. */
  readonly tail: ByteRange | undefined;
}

/** The layout of a disk of `diskSize` bytes (a multiple of 512) on a device of `capacity` bytes, diskSize ≤ capacity. */
export function planLayout(options: {
  readonly diskSize: number;
  readonly capacity: number;
  readonly sectorSize: number;
}): DeviceLayout {
  const { diskSize, capacity, sectorSize } = options;
  const unit = Math.max(4 * KiB, sectorSize);
  const firstEnd = Math.min(EDGE, diskSize);
  const lastStart = Math.max(firstEnd, alignDown(Math.max(diskSize - EDGE, 0), unit));
  // Short of a whole sector the disk's end cannot be written without what follows it: that is zeroed with it.
  const written = Math.min(capacity, Math.max(unit, alignUp(diskSize, sectorSize)));
  const lastOfDevice = Math.max(written, EDGE, alignDown(Math.max(capacity - EDGE, 0), sectorSize));
  return {
    headSize: Math.min(unit, capacity),
    body: span(firstEnd, lastStart),
    edges: [span(lastStart, diskSize), span(0, firstEnd)].filter(isFilled),
    zeroed: [
      span(unit, Math.min(EDGE, capacity)),
      span(Math.max(lastStart, Math.min(EDGE, capacity)), written),
      span(lastOfDevice, capacity),
    ].filter(isFilled),
    tail: written < capacity ? span(written, capacity) : undefined,
  };
}

/** The ranges that must be zero for a device to count as blank: its own first and last MiB, and the disk's last. */
export function planBlankRanges(options: {
  readonly diskSize: number | undefined;
  readonly capacity: number;
  readonly sectorSize: number;
}): ByteRange[] {
  const { capacity, sectorSize } = options;
  const diskEnd = Math.min(alignUp(options.diskSize ?? capacity, sectorSize), capacity);
  const starts = (end: number): number => alignDown(Math.max(end - EDGE, 0), sectorSize);
  return [span(0, Math.min(EDGE, capacity)), span(starts(diskEnd), diskEnd), span(starts(capacity), capacity)];
}

function span(start: number, end: number): ByteRange {
  return { offset: start, length: Math.max(0, end - start) };
}

function isFilled(range: ByteRange): boolean {
  return range.length > 0;
}

/** GPT, boot sectors, superblocks and their copies lie within it, at either end of a disk. */
const EDGE = MiB;
