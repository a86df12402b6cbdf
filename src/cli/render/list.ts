// Formats the content of a bucket as two tables: backups, and the checkpoints of each disk.
import type { Listing } from '../../inventory/list.ts';
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
  const diskRows = vms.flatMap(({ namespace, name, disks }) =>
    disks.flatMap((disk) =>
      disk.checkpoints.map(({ id, type, size, timestamp, state, problem }) => [
        `${namespace}/${name}`,
        disk.name,
        id,
        type,
        size === null ? '-' : formatBytes(size),
        ageText(timestamp, now),
        problem === undefined ? state : `${state}: ${problem}`,
      ]),
    ),
  );
  const tables = [
    backupRows.length === 0 ? '' : renderTable([['BACKUP', 'AGE', 'VM', 'CHECKPOINT'], ...backupRows], { right: [1] }),
    diskRows.length === 0 ? '' : renderTable([DISK_HEAD, ...diskRows], { right: [4, 5] }),
  ];
  return tables.filter((table) => table !== '').join('\n');
}

const DISK_HEAD = ['VM', 'DISK', 'CHECKPOINT', 'TYPE', 'SIZE', 'AGE', 'STATE'];

/** `45 min`, `7 h`, `12 d`; `-` for a time that is unknown or in the future. */
function ageText(timestamp: string | null, now: number): string {
  const minutes = timestamp === null ? Number.NaN : (now - Date.parse(timestamp)) / 60_000;
  if (!(minutes >= 0)) return '-';
  if (minutes < 90) return `${Math.floor(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / (24 * 60))} d`;
}
