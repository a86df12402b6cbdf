// The map of a chain as `qemu-img map` prints it, checked line by line before a byte of it is believed. A line that was
// lost, repeated or altered would restore wrong bytes without an error.
import { DatamoverError } from '../../errors.ts';
import type { MapRun } from '../../qemu/map.ts';
import { alignUp, type ByteRange } from '../../units.ts';
import type { RemoteLayer } from '../fetch/remote-layer.ts';

/** A range of the disk that a layer's object holds as it is. */
export interface DataExtent extends ByteRange {
  readonly layer: RemoteLayer;
  /** Where it starts in the object. */
  readonly host: number;
  /** Bytes of it that the object holds; the rest, less than a unit, reads as zeros. */
  readonly stored: number;
}

/** Of a range that reads as zeros, `layer` is undefined. */
export type Extent = DataExtent | (ByteRange & { readonly layer: undefined });

export interface ExtentOptions {
  readonly runs: AsyncIterable<MapRun>;
  /** Base first. */
  readonly layers: readonly RemoteLayer[];
  /** Bytes of the disk. */
  readonly size: number;
  /** Extents start at multiples of it, and end at them or at the end of the disk. */
  readonly unit: number;
}

/**
 * The disk from 0 to `size` without gaps or overlaps.
 * @throws DatamoverError TOOL_FAILED when the lines do not add up to the disk, IMAGE_CORRUPT when a layer is said to hold
 * bytes that its object does not have.
 */
export async function* readExtents(options: ExtentOptions): AsyncGenerator<Extent, void, undefined> {
  const { runs, size, unit } = options;
  let end = 0;
  // Where the last data extent ends, rounded up.
  let placed = 0;
  for await (const run of runs) {
    if (run.start !== end || run.length <= 0 || run.length > size - end) throw doesNotAddUp(run, { end, size });
    end += run.length;
    if (run.data) {
      const extent = dataExtent(run, placed, options);
      placed = extent.offset + extent.length;
      yield extent;
    } else if (end > placed) {
      const offset = Math.max(run.start, placed);
      yield { layer: undefined, offset, length: end - offset };
    }
  }
  if (end !== size) {
    throw new DatamoverError('TOOL_FAILED', `qemu-img map: output ends early: expected ${size} bytes, got ${end}`, {
      hint: TOOL_HINT,
    });
  }

  function dataExtent(run: MapRun, before: number, { layers }: ExtentOptions): DataExtent {
    const { start, length, depth, offset: host } = run;
    const layer = layers[layers.length - 1 - depth];
    if (layer === undefined) {
      throw new DatamoverError(
        'TOOL_FAILED',
        `qemu-img map: invalid depth ${depth} at byte ${start}: the chain has ${layers.length} layers`,
        { hint: TOOL_HINT },
      );
    }
    // A chain that the check found compressed clusters in is not carried at all.
    if (host === undefined) throw corrupt(layer, `no offset for the data at byte ${start} of the disk`);
    if (host + length > layer.size) {
      throw corrupt(layer, `data at ${host} to ${host + length} is beyond the end of the object (${layer.size} bytes)`);
    }
    if (start % unit !== 0 || host % unit !== 0 || start < before) {
      throw corrupt(layer, `the data at byte ${start} of the disk is not aligned to ${unit} bytes`);
    }
    // What follows an end that no cluster has is the end of a shorter parent: from there on it reads as zeros.
    return {
      layer,
      offset: start,
      length: Math.min(alignUp(start + length, unit), size) - start,
      host,
      stored: length,
    };
  }
}

const TOOL_HINT = 'check which qemu-img is installed with `qemu-img --version`, then run the same command again';

function doesNotAddUp({ start, length }: MapRun, { end, size }: { end: number; size: number }): DatamoverError {
  return new DatamoverError(
    'TOOL_FAILED',
    `qemu-img map: invalid range ${start} to ${start + length}: expected one from ${end} within ${size} bytes`,
    { hint: TOOL_HINT },
  );
}

function corrupt({ where }: RemoteLayer, what: string): DatamoverError {
  return new DatamoverError('IMAGE_CORRUPT', `${where}: invalid map: ${what}`, {
    hint: 'the layer is damaged: take another copy of it, or restore an earlier checkpoint',
  });
}
