// What the documents refer to exists: links, anchors, test and source files, flags, tables of the source.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { buildProgram } from '../src/cli/program.ts';
import { ERROR_CODES } from '../src/errors.ts';
import { EXIT_STATUSES, exitStatus, isResumable, permanentStatuses } from '../src/exit-status.ts';
import { RecordedStream } from './helpers/text-stream.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const PAGES = ['', 'docs', 'fixtures'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);
const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

/** The anchors of a page, as GitHub derives them from its headings. */
function anchorsOf(page: string): Set<string> {
  const prose = textOf(page).replace(/^```.*?^```$/gms, '');
  const slugs = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set(slugs);
}

/** The cells of each row of the tables below a heading, up to the next heading of the same or a higher level. */
function rowsBelow(page: string, heading: string): string[][] {
  const level = heading.indexOf(' ');
  const [, after = ''] = `\n${textOf(page)}`.split(`\n${heading}\n`);
  const [section = ''] = after.split(new RegExp(`^#{1,${level}} `, 'm'));
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
    .map((cells) => cells.slice(1, -1));
}

test('relative links and anchors resolve', async (t) => {
  for (const page of PAGES) {
    for (const [, target = ''] of textOf(page).matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path = '', anchor] = target.split('#');
      const linked = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(ROOT, linked))) t.fail(`${page}: ${target}`);
      else if (anchor !== undefined) t.ok(anchorsOf(linked).has(anchor), `${page}: ${target}`);
    }
  }
});

test('the files that documents name exist', async (t) => {
  for (const page of PAGES) {
    for (const [path] of textOf(page).matchAll(/(?<![\w./-])[\w.-]+(?:\/[\w.-]+)+\.(?:ts|sh)\b/g)) {
      t.ok(
        ['', 'test', 'src'].some((root) => existsSync(join(ROOT, root, path))),
        `${page}: ${path}`,
      );
    }
    for (const [, path = ''] of textOf(page).matchAll(/(?:`|^)(scripts\/[\w/-]+(?:\.ts)?)/gm)) {
      t.ok(existsSync(join(ROOT, path)), `${page}: ${path}`);
    }
  }
});

test('docs/usage.md has every command and every flag, with the commands that take it', async (t) => {
  const streams = { stdout: new RecordedStream(), stderr: new RecordedStream() };
  const program = buildProgram(streams, async () => {});
  const names = program.commands.map((command) => command.name());
  const [, ...commands] = rowsBelow('docs/usage.md', '## Commands');
  t.strictSame(commands.map(([cell = '']) => /^`([\w-]+)/.exec(cell)?.[1]).sort(), [...names].sort());

  const expected = new Map<string, Set<string>>();
  const take = (flags: Map<string, Set<string>>, flag: string, command: string): void => {
    flags.set(flag, (flags.get(flag) ?? new Set()).add(command));
  };
  for (const command of program.commands) {
    for (const option of command.options) take(expected, option.flags, command.name());
  }
  for (const option of program.options) take(expected, option.flags, 'all');
  const documented = new Map<string, Set<string>>();
  for (const [flag = '', takers = ''] of rowsBelow('docs/usage.md', '## Flags')) {
    const usage = /^`(--[^`]+)`$/.exec(flag)?.[1];
    if (usage === undefined) continue;
    for (const [, command = ''] of takers.matchAll(/`([\w-]+)`|^all$/g)) take(documented, usage, command || 'all');
  }
  const sorted = (flags: Map<string, Set<string>>): [string, string[]][] =>
    [...flags].map(([flag, takers]): [string, string[]] => [flag, [...takers].sort()]).sort();
  t.strictSame(sorted(documented), sorted(expected));
});

test('docs/usage.md has every variable of `download`', async (t) => {
  const files = ['environment', 'azure-environment', 'variables'];
  const source = files.map((name) => textOf(`src/plan/${name}.ts`)).join('\n');
  const read = [...source.matchAll(/\(reader, '([A-Z][A-Z0-9_]+)'/g)].map(([, name]) => name);
  const rows = rowsBelow('docs/usage.md', '## Environment of `download`');
  const documented = rows.flatMap(([cell = '']) =>
    [...cell.matchAll(/`([A-Z0-9_]*[A-Z0-9])`/g)].map(([, name]) => name),
  );
  t.strictSame([...new Set(documented)].sort(), [...new Set(read)].sort());
});

test('documents have the exit statuses of the program', async (t) => {
  const text = textOf('docs/errors.md');
  const numbersIn = (cell = ''): number[] => (cell.replace(/\(.*?\)/g, '').match(/\b\d+\b/g) ?? []).map(Number);
  const statuses = [...EXIT_STATUSES.map(({ status }) => status), 129, 143].sort((a, b) => a - b);
  const inUsage = rowsBelow('docs/usage.md', '## Exit statuses').flatMap(([cell]) => numbersIn(cell));
  t.strictSame(
    inUsage.sort((a, b) => a - b),
    statuses,
  );

  const kept = rowsBelow('docs/errors.md', '# Errors').filter(([, , data]) => data === 'kept');
  const keptStatuses = new Set(kept.flatMap(([cell]) => numbersIn(cell)));
  for (const code of ERROR_CODES) {
    const section = text.split(/^## /m).find((part) => part.includes(`\n| \`${code}\` |`)) ?? '';
    const status = exitStatus(code);
    t.ok(numbersIn(section.split(':')[0]).includes(status), `${code} is below the heading of exit ${status}`);
    t.equal(keptStatuses.has(status), isResumable(code), `${code}: fetched data is kept or not`);
  }

  const failsAtOnce = rowsBelow('docs/kubernetes.md', '## Failed pods').find(([, job]) => job === 'fails at once');
  t.strictSame(numbersIn(failsAtOnce?.[0]), permanentStatuses());
});
