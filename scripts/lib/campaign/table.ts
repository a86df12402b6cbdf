// The table of a campaign: each fault that was drawn × how the runs under it ended. A run counts once in each group.
import { STRATEGIES } from '../../../src/strategy.ts';
import { dialectGroup } from './dialect.ts';
import type { Drawn } from './draw.ts';
import type { RunResult } from './run.ts';

/** Markdown: the table, and the longest block of the main thread by strategy. */
export function campaignTable(results: readonly RunResult[]): string {
  const lines = [
    '| fault | runs | restored at once | restored after restarts | refused with a code | guarantees broken |',
    '| --- | ---: | ---: | ---: | --- | ---: |',
  ];
  for (const [group, nameOf] of GROUPS) {
    const values = [...new Set(results.map(({ drawn }) => nameOf(drawn)))].sort();
    for (const value of values) {
      const own = results.filter(({ drawn }) => nameOf(drawn) === value);
      lines.push(`| ${group}: ${value} | ${row(own)} |`);
    }
  }
  lines.push(`| **all** | ${row(results)} |`, '', longestBlocks(results));
  return lines.join('\n');
}

const GROUPS: readonly (readonly [string, (drawn: Drawn) => string])[] = [
  ['strategy', ({ strategy }) => strategy],
  ['source', ({ source }) => source],
  ['store', ({ dialect }) => dialectGroup(dialect)],
  ['process', ({ blows }) => blowsOf(blows.map(({ kind }) => kind))],
  ['stopped', ({ pause }) => (pause === undefined ? 'never' : PAUSES[pause.of])],
  ['limit', ({ limit }) => (limit === undefined ? 'none' : LIMITS[limit.kind])],
  ['scratch', ({ scratch }) => scratch],
  ['target', ({ target }) => target],
  ['output', ({ output }) => output],
];

const PAUSES = { process: 'the program alone', everything: 'all its processes' } as const;
const LIMITS = { 'open files': 'ulimit -n', data: 'ulimit -d' } as const;

function blowsOf(kinds: readonly Drawn['blows'][number]['kind'][]): string {
  const [killed, asked] = [kinds.includes('kill'), kinds.some((kind) => kind !== 'kill')];
  if (killed && asked) return 'SIGKILL and other signals';
  if (killed) return 'SIGKILL';
  return asked ? 'SIGTERM, SIGINT or SIGHUP' : 'left alone';
}

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

/** Where none is known, as after kills alone, a strategy is left out. */
function longestBlocks(results: readonly RunResult[]): string {
  const lines = STRATEGIES.flatMap((strategy) => {
    const blocks = results.flatMap(({ drawn, block }) => (drawn.strategy === strategy && block ? [block] : []));
    if (blocks.length === 0) return [];
    const [delay, cpu] = [blocks.map(({ delayMs }) => delayMs), blocks.map(({ cpuMs }) => cpuMs)];
    return [
      `| ${strategy} | ${blocks.length} | ${Math.max(...delay)} ms | ${Math.max(...cpu)} ms | ${median(cpu)} ms |`,
    ];
  });
  return [
    '| strategy | runs measured | longest block | of processor time | median of the runs |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
