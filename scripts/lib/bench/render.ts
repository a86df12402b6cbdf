// The figures as Markdown tables.
import { formatBytes, MiB } from '../../../src/units.ts';
import type { CaseResult, Row } from './compare.ts';
import { REFERENCE } from './contenders.ts';
import type { GrowthResult } from './growth.ts';
import type { ListResult } from './list.ts';
import type { Sample } from './measure.ts';

export interface Report {
  readonly version: 1;
  readonly machine: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly cases: readonly CaseResult[];
  readonly growth: readonly GrowthResult[];
  readonly list?: ListResult | undefined;
  /** What could not be measured here, and why. */
  readonly skipped: readonly string[];
}

export function renderReport({ machine, rounds, cases, growth, list, skipped }: Report): string {
  const lines = [
    `Machine: ${Object.entries(machine)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}. Medians of ${rounds}, lowest and highest in brackets.`,
    ...cases.flatMap((one) => ['', ...renderCase(one)]),
    ...growth.flatMap((one) => ['', ...renderGrowth(one)]),
    ...(list === undefined ? [] : ['', ...renderList(list)]),
    ...skipped.map((why) => `\nSkipped: ${why}`),
  ];
  return `${lines.join('\n')}\n`;
}

function renderCase({ title, size, visible, virtualSize, layers, rows, limit }: CaseResult): string[] {
  const reference = rows.find(({ contender }) => contender === REFERENCE);
  const sizes = `${layers} layers, ${formatBytes(size)} in the bucket, ${formatBytes(visible)} visible of ${formatBytes(virtualSize)}`;
  const longest = limit === undefined ? undefined : Math.max(limit.read, limit.write);
  const limits =
    limit === undefined
      ? []
      : [`Limit: ${limit.read.toFixed(2)} s to read the bytes, ${limit.write.toFixed(2)} s to write those visible.`];
  return [
    `### ${title}`,
    '',
    `${sizes}. ${limits.join('')}`,
    '',
    '| contender | seconds | reference ÷ | limit × | CPU s | program CPU s | a GB | children CPU s | peak RSS | program RSS | fetched | scratch | identical |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
    ...rows.map((row) => renderRow(row, { reference, longest })),
  ];
}

function renderRow(
  { contender, median, samples, identical }: Row,
  { reference, longest }: { readonly reference: Row | undefined; readonly longest: number | undefined },
): string {
  const { own } = median;
  return cells([
    contender,
    `${median.seconds.toFixed(2)} ${range(samples)}`,
    reference === undefined ? '' : `${(reference.median.seconds / median.seconds).toFixed(2)}`,
    longest === undefined ? '' : (median.seconds / longest).toFixed(2),
    median.cpu.toFixed(1),
    own === undefined ? '' : own.cpu.toFixed(2),
    own === undefined ? '' : (own.cpu / (median.fetched / 1e9)).toFixed(2),
    own === undefined ? '' : (median.cpu - own.cpu).toFixed(2),
    mebibytes(median.rss),
    own === undefined ? '' : mebibytes(own.rss),
    formatBytes(median.fetched),
    formatBytes(median.scratch),
    identical ? 'yes' : '**no**',
  ]);
}

function range(samples: readonly Sample[]): string {
  const seconds = samples.map((sample) => sample.seconds);
  return `(${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)})`;
}

function renderGrowth({ title, unit, points }: GrowthResult): string[] {
  const names = points[0]?.rows.map(({ contender }) => contender) ?? [];
  return [
    `### ${title}`,
    '',
    `| ${unit} | fetched | ${names.map((name) => `${name}: s | CPU s | peak RSS | program RSS`).join(' | ')} |`,
    `| ---: | ---: | ${names.map(() => '---: | ---: | ---: | ---:').join(' | ')} |`,
    ...points.map(({ label, rows }) =>
      cells([
        label,
        formatBytes(rows[0]?.median.fetched ?? 0),
        ...rows.flatMap(({ median: { seconds, cpu, rss, own } }) => [
          seconds.toFixed(2),
          cpu.toFixed(1),
          mebibytes(rss),
          own === undefined ? '' : mebibytes(own.rss),
        ]),
      ]),
    ),
  ];
}

function renderList({ points }: ListResult): string[] {
  return [
    '### `list` by the number of VMs',
    '',
    '| VMs | seconds | CPU s | peak RSS |',
    '| ---: | ---: | ---: | ---: |',
    ...points.map(({ vms, median }) =>
      cells([String(vms), median.seconds.toFixed(2), median.cpu.toFixed(2), mebibytes(median.rss)]),
    ),
  ];
}

function cells(values: readonly string[]): string {
  return `| ${values.join(' | ')} |`;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / MiB)} MiB`;
}
