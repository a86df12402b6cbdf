// The house's one rule, checked: imports point down only, the leaves never import each other, one door a dependency.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));
const LEAVES = ['plan', 'catalog', 'store', 'qcow2', 'qemu', 'nbd', 'target'];
const GROUND = 'ground';

const ALLOWED: ReadonlyMap<string, readonly string[]> = new Map([
  ['main', ['cli', GROUND]],
  ['cli', ['cli', 'restore', ...LEAVES, GROUND]],
  ['restore', ['restore', ...LEAVES, GROUND]],
  ...LEAVES.map((leaf): [string, string[]] => [leaf, [leaf, GROUND]]),
  [GROUND, [GROUND]],
]);

const DOORS: ReadonlyMap<string, RegExp> = new Map([
  ['commander', /^cli\//],
  ['ora', /^cli\//],
  ['prom-client', /^cli\//],
  ['@aws-sdk/', /^store\/s3[^/]*\.ts$/],
  ['@smithy/', /^store\/s3[^/]*\.ts$/],
  ['execa', /^qemu\//],
  ['p-limit', /^concurrency\.ts$/],
  ['yaml', /^plan\//],
]);

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

function roomOf(file: string): string {
  if (file === 'main.ts') return 'main';
  return file.includes('/') ? (file.split('/')[0] ?? '') : GROUND;
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  return [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)'([^']+)'/g)].map((match) => match[1] ?? '');
}

test('imports point down only', async (t) => {
  for (const file of files) {
    const allowed = ALLOWED.get(roomOf(file));
    if (allowed === undefined) {
      t.fail(`${file}: no such room in the house`);
      continue;
    }
    for (const target of importsOf(file).filter((name) => name.startsWith('.'))) {
      const room = roomOf(relative(SRC, join(SRC, dirname(file), target)));
      t.ok(allowed.includes(room), `${file} imports ${target}`);
    }
  }
});

test('each dependency has one door', async (t) => {
  for (const file of files) {
    for (const name of importsOf(file)) {
      for (const [dependency, door] of DOORS) {
        if (name === dependency || name.startsWith(dependency.endsWith('/') ? dependency : `${dependency}/`)) {
          t.match(file, door, `${file} imports ${name}`);
        }
      }
    }
  }
});
