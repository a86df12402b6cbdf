// The result of a restore, or of its dry run, as a table for people.
import type { DryRunResult, PvcResult, RestoreResult } from '../../result.ts';
import { formatBytes, formatDuration } from '../../units.ts';
import { renderTable } from './table.ts';

/** Whole lines; '' when no PVC is known. */
export function renderRestore({ pvcs, seconds }: RestoreResult): string {
  if (pvcs.length === 0) return '';
  const head = ['PVC', 'TARGET', 'STATE', 'SIZE', 'FETCHED', 'TIME', 'VERIFIED'];
  const restored = pvcs.filter(({ state }) => state === 'restored').length;
  const sum = `${restored} of ${pvcs.length} ${pvcs.length === 1 ? 'PVC' : 'PVCs'} restored in ${formatDuration(seconds)}\n`;
  return renderTable([head, ...pvcs.map(rowOf)], { right: [3, 4, 5] }) + sum;
}

function rowOf({ name, target, state, virtualSize, bytesFetched, seconds, verified }: PvcResult): string[] {
  const isTimed = state !== 'pending' && state !== 'planned';
  return [
    name,
    target,
    state,
    sizeText(virtualSize),
    isTimed ? formatBytes(bytesFetched) : '-',
    isTimed ? formatDuration(seconds.total) : '-',
    verified ? 'yes' : 'no',
  ];
}

/** What a run would do; '' when the check found problems, since those are told instead. */
export function renderDryRun({ pvcs, dryRun }: DryRunResult): string {
  if (dryRun === null) return '';
  const head = ['PVC', 'TARGET', 'LAYERS', 'SIZE', 'STRATEGY'];
  const rows = pvcs.map(({ name, target, layers, virtualSize, strategy }) => [
    name,
    target,
    String(layers.length),
    sizeText(virtualSize),
    strategy,
  ]);
  const free = dryRun.scratchFree === null ? '' : `, ${formatBytes(dryRun.scratchFree)} free`;
  const scratch = dryRun.scratchNeeded === 0 ? '' : `scratch: ${formatBytes(dryRun.scratchNeeded)} needed${free}\n`;
  return `${renderTable([head, ...rows], { right: [2, 3] })}to fetch: ${formatBytes(dryRun.bytesToFetch)}\n${scratch}all checks passed; nothing was written (--dry-run)\n`;
}

function sizeText(bytes: number | null): string {
  return bytes === null ? '-' : formatBytes(bytes);
}
