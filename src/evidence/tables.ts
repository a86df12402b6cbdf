// Reads the L1 and L2 tables of a layer by ranges, and stops at the first place that is left to a parent.
import type { Evidence } from '../catalog/step.ts';
import { mapBounded } from '../concurrency.ts';
import { findUncovered, neededL1Entries } from '../qcow2/coverage.ts';
import type { Qcow2Header } from '../qcow2/header.ts';
import { bytesPerL1Entry } from '../qcow2/judge.ts';
import { decodeL1 } from '../qcow2/tables.ts';
import { readBytes } from '../store/read-bytes.ts';
import type { ObjectInfo, ObjectStore } from '../store/store.ts';
import { KiB, MiB } from '../units.ts';

export interface PinnedLayer {
  readonly info: ObjectInfo;
  /** Valid by `validateHeader`. */
  readonly header: Qcow2Header;
}

/**
 * What the header and the tables of a layer show. Reads the L1 table and each L2 table once, at most 16 ranges of 1 MiB at a
 * time, up to the first place that is not covered; nothing where the header records a backing file. Rejects as `ObjectStore.read`.
 */
export async function evidenceOfTables(
  store: ObjectStore,
  { info, header }: PinnedLayer,
  { signal }: { readonly signal: AbortSignal },
): Promise<Evidence> {
  if (header.backing !== undefined) {
    return { complete: false, backing: true, shows: 'its header records a backing file' };
  }
  const length = neededL1Entries(header) * 8;
  const l1 = decodeL1(await readBytes(store, info, { offset: header.l1TableOffset, length, signal }));
  const hole = l1.indexOf(0);
  if (hole !== -1) return uncovered(hole * bytesPerL1Entry(header));
  const damaged = l1.find((offset) => offset % header.clusterSize !== 0 || offset + header.clusterSize > info.size);
  if (damaged !== undefined) return unusable(`an L2 table at offset ${damaged} is outside of the file`);
  const groups = groupTables(l1, header.clusterSize);
  for (let from = 0; from < groups.length; from += READS) {
    const some = groups.slice(from, from + READS);
    const found = await mapBounded(some, { limit: READS, signal }, async (group, inner) => {
      const { first, end, tables } = group;
      const bytes = await readBytes(store, info, { offset: first, length: end - first, signal: inner });
      return tables
        .map(({ index, offset }) => findUncovered(header, bytes.subarray(offset - first), index))
        .find((guest) => guest !== undefined);
    });
    const guest = found.find((one) => one !== undefined);
    if (guest !== undefined) return uncovered(guest);
  }
  return { complete: true, backing: false, shows: 'its tables leave nothing to a parent' };
}

/** Ranges read at a time. */
const READS = 16;
/** Tables that are less far apart come in one read. */
const GAP = 64 * KiB;
const MAX_READ = MiB;

interface TableGroup {
  readonly first: number;
  end: number;
  readonly tables: { readonly index: number; readonly offset: number }[];
}

/** Tables in the order of the file, joined where they are close together; a table may be larger than a joined read. */
function groupTables(l1: Float64Array, clusterSize: number): TableGroup[] {
  const tables = Array.from(l1, (offset, index) => ({ index, offset })).sort((a, b) => a.offset - b.offset);
  const groups: TableGroup[] = [];
  for (const table of tables) {
    const last = groups.at(-1);
    const end = table.offset + clusterSize;
    if (last !== undefined && table.offset - last.end <= GAP && end - last.first <= MAX_READ) {
      last.end = Math.max(last.end, end);
      last.tables.push(table);
    } else {
      groups.push({ first: table.offset, end, tables: [table] });
    }
  }
  return groups;
}

function uncovered(guest: number): Evidence {
  return { complete: false, backing: false, shows: `its tables leave offset ${guest} to a parent` };
}

function unusable(why: string): Evidence {
  return { complete: false, backing: false, shows: `its tables cannot be used: ${why}` };
}
