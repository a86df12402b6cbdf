// Formats the verdicts of `verify` as a table.
import type { VerifyResult } from '../../result.ts';
import { formatBytes } from '../../units.ts';
import { renderTable } from './table.ts';

/** Complete lines. Defects that make a disk suspect are shown here; those that break one are reported as errors. */
export function renderVerify({ pvcs, problems }: VerifyResult): string {
  if (pvcs.length === 0) return '';
  const rows = pvcs.map(({ name, verdict, layers }) => [
    name,
    verdict,
    String(layers.length),
    formatBytes(layers.reduce((sum, { size }) => sum + (size ?? 0), 0)),
  ]);
  const broken = new Set(problems);
  const suspects = pvcs.flatMap(({ name, problems: own }) =>
    own.filter((problem) => !broken.has(problem)).map(({ message }) => `suspect: ${name}: ${message}\n`),
  );
  return renderTable([['PVC', 'VERDICT', 'LAYERS', 'SIZE'], ...rows], { right: [2, 3] }) + suspects.join('');
}

/** `78 ok, 0 suspect, 2 broken`, one line. */
export function renderVerdictSum({ pvcs }: VerifyResult): string {
  const count = (wanted: string): string => `${pvcs.filter(({ verdict }) => verdict === wanted).length} ${wanted}`;
  return `${['ok', 'suspect', 'broken'].map(count).join(', ')}\n`;
}
