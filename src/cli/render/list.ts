// Formats the content of a bucket as two tables: backups, and the checkpoints of each disk.
import type { Listing } from '../../inventory/list.ts';
import type { CheckpointListing } from '../../inventory/list-disks.ts';
import { formatBytes } from '../../units.ts';
import { renderTable } from './table.ts';

/** Complete lines; `now` in milliseconds since 1970, for ages. */
export function renderList({ backups, vms }: Listing, { now }: { readonly now: number }): string {
  const backupRows = backups.flatMap(({ name, timestamp, vms: held }) => {
    const head = [name, ageText(timestamp, now)];
    if (held.length === 0) return [[...head, '-', '-']];
    return held.map(({ namespace, name: vm, checkpoint, problem }) => {
      const state = problem === undefined ? '' : ` broken: ${problem}`;
      return [...head, `${namespace}/${vm}`, `${checkpoint ?? '-'}${state}`];
    });
  });
  const withConsistency = vms.some(({ disks }) =>
    disks.some(({ checkpoints }) => checkpoints.some(({ consistency }) => consistency !== undefined)),
  );
  const diskRows = vms.flatMap(({ namespace, name, disks }) =>
    disks.flatMap((disk) =>
      disk.checkpoints.map((checkpoint) => [
        `${namespace}/${name}`,
        disk.name,
        checkpoint.id,
        checkpoint.type,
        checkpoint.size === null ? '-' : formatBytes(checkpoint.size),
        ageText(checkpoint.timestamp, now),
        ...(withConsistency ? [consistencyText(checkpoint)] : []),
        stateText(checkpoint),
      ]),
    ),
  );
  const head = withConsistency ? [...DISK_HEAD, 'CONSISTENCY', 'STATE'] : [...DISK_HEAD, 'STATE'];
  const tables = [
    backupRows.length === 0 ? '' : renderTable([['BACKUP', 'AGE', 'VM', 'CHECKPOINT'], ...backupRows], { right: [1] }),
    diskRows.length === 0 ? '' : renderTable([head, ...diskRows], { right: [4, 5] }),
  ];
  return tables.filter((table) => table !== '').join('\n');
}

const DISK_HEAD = ['VM', 'DISK', 'CHECKPOINT', 'TYPE', 'SIZE', 'AGE'];

/** `quiesced, forced full`; `-` where nothing is known. */
function consistencyText({ consistency, forcedFull }: CheckpointListing): string {
  const words = [...(consistency === undefined ? [] : [consistency]), ...(forcedFull ? ['forced full'] : [])];
  return words.length === 0 ? '-' : words.join(', ');
}

/** A base that no type proves is worth a word. */
function stateText({ state, base, problem }: CheckpointListing): string {
  const shown = base?.proof === 'tables' ? `${state} from ${base.checkpoint} (by its tables)` : state;
  return problem === undefined ? shown : `${shown}: ${problem}`;
}

/** `45 min`, `7 h`, `12 d`; `-` for a time that is unknown or in the future. */
function ageText(timestamp: string | null, now: number): string {
  const minutes = timestamp === null ? Number.NaN : (now - Date.parse(timestamp)) / 60_000;
  if (!(minutes >= 0)) return '-';
  if (minutes < 90) return `${Math.floor(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / (24 * 60))} d`;
}
