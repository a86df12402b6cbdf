// What a download will fetch of a layer, of which parts may be in scratch already. Pure.
import type { FetchEstimate } from '../chain/fetch-estimate.ts';
import type { ByteRange } from '../units.ts';
import { DEFAULT_PART_SIZE } from './download.ts';
import { missingRanges } from './layer-file.ts';

export interface LayerToFetch {
  /** Bytes of the layer. */
  readonly size: number;
  /** As the journal records them: in any order, and possibly twice. */
  readonly parts: readonly ByteRange[];
  /** Bytes of one request; undefined for the default. */
  readonly partSize: number | undefined;
}

/** The run reads the parts again before it uses them: one that was damaged since is fetched as well. */
export function estimateLayer({ size, parts, partSize = DEFAULT_PART_SIZE }: LayerToFetch): FetchEstimate {
  const missing = missingRanges(merged(parts), size, partSize);
  return { bytes: missing.reduce((sum, { length }) => sum + length, 0), requests: missing.length };
}

/** In order, without overlaps. */
function merged(ranges: readonly ByteRange[]): ByteRange[] {
  const found: ByteRange[] = [];
  let end = 0;
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const start = Math.max(offset, end);
    end = Math.max(end, offset + length);
    if (end > start) found.push({ offset: start, length: end - start });
  }
  return found;
}
