// The table of a campaign: each fault that was drawn × how the runs under it ended. A run counts once in each group.
import type { Drawn } from './draw.ts';
import type { RunResult } from './run.ts';

/** Markdown. */
export function campaignTable(results: readonly RunResult[]): string {
  const lines = [
    '| fault | runs | restored at once | restored after restarts | refused, with a code | promises broken |',
    '| --- | ---: | ---: | ---: | --- | ---: |',
  ];
  for (const [group, nameOf] of GROUPS) {
    const values = [...new Set(results.map(({ drawn }) => nameOf(drawn)))].sort();
    for (const value of values) {
      const own = results.filter(({ drawn }) => nameOf(drawn) === value);
      lines.push(`| ${group}: ${value} | ${row(own)} |`);
    }
  }
  lines.push(`| **all** | ${row(results)} |`);
  return lines.join('\n');
}

const GROUPS: readonly (readonly [string, (drawn: Drawn) => string])[] = [
  ['strategy', ({ strategy }) => strategy],
  ['source', ({ source }) => source],
  [
    'process',
    ({ blows }) => (blows.length === 0 ? 'left alone' : [...new Set(blows.map(({ kind }) => kind))].sort().join(' + ')),
  ],
  ['scratch', ({ scratch }) => scratch],
  ['target', ({ target }) => target],
  ['output', ({ output }) => output],
];

function row(results: readonly RunResult[]): string {
  const good = results.filter(({ broken }) => broken.length === 0);
  const restored = good.filter(({ outcome }) => outcome === 'restored');
  const atOnce = restored.filter(({ attempts }) => attempts.length === 1).length;
  const codes = new Map<string, number>();
  for (const { outcome } of good) if (outcome !== 'restored') codes.set(outcome, (codes.get(outcome) ?? 0) + 1);
  const refused = [...codes].sort().map(([code, count]) => `${count} ${code}`);
  const cells = [
    results.length,
    atOnce,
    restored.length - atOnce,
    refused.join(', ') || 0,
    results.length - good.length,
  ];
  return cells.join(' | ');
}
