// What the documents refer to exists: links, anchors, test and source files, flags, tables of the source.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { commandsPage } from '../scripts/lib/reference/commands.ts';
import { planSchema } from '../scripts/lib/reference/plan-schema.ts';
import { ERROR_CODES } from '../src/errors.ts';
import { EXIT_STATUSES, exitStatus, isResumable, permanentStatuses } from '../src/exit-status.ts';

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

test('docs/commands.md and docs/plan.schema.json are what the definitions of the program give', async (t) => {
  t.equal(textOf('docs/commands.md'), commandsPage(), 'run scripts/reference');
  t.strictSame(JSON.parse(textOf('docs/plan.schema.json')), planSchema(), 'run scripts/reference');
});

test('docs/plan.md has every key of plans', async (t) => {
  const rows = rowsBelow('docs/plan.md', '## Keys').map(([cell = '']) => cell);
  const documented = rows.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, key]) => key));
  const parents = new Set(['source.s3', 'source.azure', 'source.gcs', 'scratch']);
  t.strictSame(
    documented.sort(),
    keysOf(planSchema())
      .filter((key) => !parents.has(key))
      .sort(),
  );
});

/** `source.s3.bucket`, `pvcs[].chain[].object`: as plan.md names keys. */
function keysOf(schema: Schema, path = ''): string[] {
  const own = path === '' || path.endsWith('[]') ? [] : [path];
  const { properties = {}, prefixItems: [first] = [] } = schema;
  const below = Object.entries(properties).flatMap(([key, value]) =>
    keysOf(value, path === '' ? key : `${path}.${key}`),
  );
  return [...own, ...below, ...(first === undefined ? [] : keysOf(first, `${path}[]`))];
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly prefixItems?: readonly Schema[];
}

test('docs/environment.md has every variable of `download`', async (t) => {
  const files = ['environment', 'azure-environment', 'variables'];
  const source = files.map((name) => textOf(`src/plan/${name}.ts`)).join('\n');
  const read = [...source.matchAll(/\(reader, '([A-Z][A-Z0-9_]+)'/g)].map(([, name]) => name);
  const rows = rowsBelow('docs/environment.md', '## Environment of `download`');
  const documented = rows.flatMap(([cell = '']) =>
    [...cell.matchAll(/`([A-Z0-9_]*[A-Z0-9])`/g)].map(([, name]) => name),
  );
  t.strictSame([...new Set(documented)].sort(), [...new Set(read)].sort());
});

test('every page is in docs/index.md', async (t) => {
  const linked = new Set([...textOf('docs/index.md').matchAll(/\]\(([\w-]+\.md)/g)].map(([, name]) => name));
  const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  t.strictSame(
    pages.filter((name) => !linked.has(name)),
    ['index.md', 'usage.md'],
  );
});

test('documents have the exit statuses of the program', async (t) => {
  const text = textOf('docs/errors.md');
  const numbersIn = (cell = ''): number[] => (cell.replace(/\(.*?\)/g, '').match(/\b\d+\b/g) ?? []).map(Number);
  const statuses = [...EXIT_STATUSES.map(({ status }) => status), 129, 143].sort((a, b) => a - b);
  const documented = rowsBelow('docs/output.md', '## Exit statuses').flatMap(([cell]) => numbersIn(cell));
  t.strictSame(
    documented.sort((a, b) => a - b),
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
