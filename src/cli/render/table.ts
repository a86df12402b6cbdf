// Columns of text.
import { printableLine } from '../session/printable.ts';

/** Lines of `rows`, columns padded to their widest cell and two spaces apart; `right` are aligned to the right. */
export function renderTable(
  rows: readonly (readonly string[])[],
  { right = [] }: { right?: readonly number[] } = {},
): string {
  const widths: number[] = [];
  const cells = rows.map((row) => row.map(printableLine));
  for (const row of cells) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return cells.map((row) => `${line(row)}\n`).join('');
}
