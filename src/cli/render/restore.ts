// The result of a restore, or of its dry run, as a table for people.
import type { DryRunResult, PvcResult, RestoreResult } from '../../result.ts';
import { count, formatBytes, formatDuration } from '../../units.ts';
import { renderTable } from './table.ts';

/** Whole lines; '' when no PVC is known. */
export function renderRestore({ pvcs, seconds }: RestoreResult): string {
  if (pvcs.length === 0) return '';
  const head = ['PVC', 'TARGET', 'STATE', 'SIZE', 'FETCHED', 'TIME', 'VERIFIED'];
  const restored = pvcs.filter(({ state }) => state === 'restored').length;
  const kept = pvcs.filter(({ state }) => state === 'kept');
  const ofAll = `${restored} of ${count(pvcs.length, 'PVC')} restored`;
  const sum = `${ofAll}${kept.length === 0 ? '' : `, ${kept.length} kept`} in ${formatDuration(seconds)}\n`;
  return (
    renderTable([head, ...pvcs.map(rowOf)], { right: [3, 4, 5] }) +
    sum +
    kept.map(keptLine).join('') +
    pvcs.map(hashLine).join('')
  );
}

/** That a PVC is done says nothing of what this run knows of it. */
function keptLine({ name, keptFrom, verified }: PvcResult): string {
  const by = keptFrom === undefined ? 'an earlier run' : `run ${keptFrom.runId} at ${keptFrom.finishedAt}`;
  const how = verified
    ? 'compared with the backup by this run'
    : 'not compared by this run (--verify compare does that)';
  return `${name}: restored by ${by}, ${how}\n`;
}

/** With `--hash`, as `sha256sum` has it. */
function hashLine({ hash, target }: PvcResult): string {
  return hash === undefined
    ? ''
    : `${hash.hex}  ${target}${hash.of === 'file' ? '' : ` (first ${hash.bytes} bytes)`}\n`;
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
  const { requestsToSend } = dryRun;
  const requests = requestsToSend === null ? '' : ` in ${count(requestsToSend, 'request')}`;
  const free = dryRun.scratchFree === null ? 'free space unknown' : `${formatBytes(dryRun.scratchFree)} free`;
  const scratch = dryRun.scratchNeeded === 0 ? '' : `scratch: ${formatBytes(dryRun.scratchNeeded)} needed, ${free}\n`;
  return `${renderTable([head, ...rows], { right: [2, 3] })}to fetch: ${formatBytes(dryRun.bytesToFetch)}${requests}\n${scratch}all checks passed; nothing was written (--dry-run)\n`;
}

function sizeText(bytes: number | null): string {
  return bytes === null ? '-' : formatBytes(bytes);
}
