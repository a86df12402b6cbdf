// The house, checked: which room may import which, through which doors, without circles; one door for each dependency.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

interface Room {
  /** The rooms that it may import, besides itself and the ground. */
  readonly may: string;
  /** The files that other rooms may import. */
  readonly doors: string | 'all';
}

/** A folder of src/ each; docs/architecture.md has the same rooms and imports. The ground (src/*.ts) is open to all. */
const HOUSE: Readonly<Record<string, Room>> = {
  main: { may: 'cli cli/session', doors: '' },
  plan: { may: '', doors: 'environment placeholder plan plan-id print-yaml read source-flags vms write yaml-text' },
  catalog: { may: '', doors: 'all' },
  qcow2: { may: '', doors: 'coverage header image-end judge rebased-head table-index tables' },
  qemu: {
    may: '',
    doors: 'check-image check-many check-qemu compare convert create graph info map mask nbd rebase rebase-many zero',
  },
  nbd: { may: '', doors: 'export server' },
  target: { may: 'target/linux', doors: 'devices failure open target' },
  'target/linux': { may: '', doors: 'mounts openers sysfs' },
  paths: { may: 'plan store target/linux', doors: 'paths recorded-store source-paths uses' },
  store: { may: '', doors: 'store key limits memory-sink counted rate-limited read-bytes' },
  evidence: { may: 'catalog qcow2 store', doors: 'evidence read-header tables' },
  'store/retry': { may: 'store', doors: 'all' },
  'store/http': { may: 'store store/retry', doors: 'connection exchange message pool' },
  'store/remote': { may: 'store store/retry store/http', doors: 'all' },
  'store/aws': { may: 'store/remote', doors: 'identity identity-types settings' },
  'store/s3': { may: 'store store/retry store/http store/remote store/aws', doors: 's3' },
  'store/azure': { may: 'store store/retry store/http store/remote', doors: 'azure' },
  'store/gcs': { may: 'store store/retry store/http store/remote', doors: 'gcs' },
  'store/directory': { may: 'store store/retry', doors: 'directory' },
  scratch: {
    may: '',
    doors:
      'error files inspect journal journal-state layout need report runtime-folder space space-details space-words work-folder',
  },
  kubernetes: { may: 'plan scratch', doors: 'manifest options scrub' },
  inventory: {
    may: 'catalog evidence plan store store/s3 store/azure store/gcs store/directory',
    doors:
      'facts list list-disks lost-layer not-found open-source rebuilt-document select-vms vm-backup vm-manifest whole-index',
  },
  chain: { may: 'catalog evidence inventory paths plan qcow2 qemu store', doors: 'all' },
  baseline: { may: 'chain store stream/fetch', doors: 'checksum-file take-checksums' },
  draft: { may: 'catalog chain inventory plan scratch store', doors: 'checksums draft-plan draft-vms' },
  staged: { may: 'chain qcow2 qemu scratch store', doors: 'staged checksums download estimate examine-file' },
  stream: {
    may: 'chain nbd qcow2 qemu store stream/copy stream/fetch stream/tables',
    doors: 'estimate examine-chain served-chain shown-bytes stream young-generation',
  },
  'stream/copy': {
    may: 'chain qcow2 qemu stream/fetch',
    doors: 'can-carry carry comparison extents pieces read-back read-in-order section-checksums',
  },
  'stream/fetch': {
    may: 'chain nbd qcow2 store',
    doors: 'arena block-cache data-reader memory read-through remote-layer slots',
  },
  'stream/tables': { may: 'nbd qcow2 stream/fetch', doors: 'metadata' },
  serve: { may: 'chain paths plan qemu scratch store stream stream/fetch', doors: 'serve' },
  verify: {
    may: 'catalog chain inventory paths plan qemu scratch staged store stream stream/fetch',
    doors: 'verify verify-bucket',
  },
  restore: {
    may: 'chain paths plan qemu scratch staged store stream stream/copy target',
    doors: 'restore dry-run options',
  },
  cli: { may: 'cli/commands cli/flags cli/session', doors: 'program' },
  'cli/commands': {
    may: 'baseline cli/completion cli/flags cli/progress cli/render cli/session draft inventory kubernetes paths plan restore serve verify',
    doors: 'all',
  },
  'cli/completion': { may: '', doors: 'completion tree' },
  'cli/flags': { may: 'cli/session paths plan', doors: 'all' },
  'cli/progress': { may: 'cli/session', doors: 'progress' },
  'cli/render': { may: 'cli/session inventory', doors: 'list restore verify' },
  'cli/session': { may: 'paths', doors: 'all' },
};

const DEPENDENCY_DOORS: ReadonlyMap<string, RegExp> = new Map([
  ['commander', /^cli\//],
  ['ora', /^cli\//],
  ['prom-client', /^cli\//],
  ['@aws-sdk/', /^store\/s3\//],
  ['@smithy/', /^store\/s3\//],
  ['@azure/', /^store\/azure\//],
  ['execa', /^qemu\//],
  ['p-limit', /^concurrency\.ts$/],
  ['yaml', /^plan\//],
]);

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const edges: ReadonlyMap<string, readonly string[]> = new Map(
  files.map((file) => [
    file,
    importsOf(file)
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(SRC, join(SRC, dirname(file), name))),
  ]),
);

function check(t: Test, good: boolean, name: string): void {
  if (good) t.pass();
  else t.fail(name);
}

function roomOf(file: string): string {
  if (file === 'main.ts') return 'main';
  return file.includes('/') ? dirname(file) : 'ground';
}

/** Type imports too: who knows a type knows its room. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  return [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)'([^']+)'/g)].map((match) => match[1] ?? '');
}

test('every folder is a room of the table, and every room a folder', async (t) => {
  const folders = new Set(files.map(roomOf).filter((room) => room !== 'ground'));
  t.strictSame([...folders].sort(), Object.keys(HOUSE).sort());
});

test('docs/architecture.md has the rooms of the table, with what each may import', async (t) => {
  const page = readFileSync(join(SRC, '../docs/architecture.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `([\w/-]+?)\/?` \| .+ \| ([\w/, –]+) \|$/gm)];
  const documented = rows.map(([, room, may = '']) => [room, may === '–' ? '' : may.replaceAll(', ', ' ')]);
  t.strictSame(
    documented.sort(),
    Object.entries(HOUSE)
      .map(([room, { may }]) => [room, may])
      .sort(),
  );
});

test('a room that is too large to read at once has its reason in docs/architecture.md', async (t) => {
  const page = readFileSync(join(SRC, '../docs/architecture.md'), 'utf8');
  const [, section = ''] = page.split('\n### Large rooms\n');
  const named = [...section.matchAll(/^- `([\w/-]+)\/`: .{40,}/gm)].map(([, room]) => room);
  for (const room of Object.keys(HOUSE)) {
    const inRoom = files.filter((file) => roomOf(file) === room);
    const lines = inRoom.reduce((sum, file) => sum + readFileSync(join(SRC, file), 'utf8').split('\n').length - 1, 0);
    if (inRoom.length > 20 || lines > 1600)
      check(t, named.includes(room), `${room}: ${inRoom.length} files, ${lines} lines`);
  }
  for (const room of named) check(t, Object.hasOwn(HOUSE, room ?? ''), `${room} is a room`);
});

test('a room imports only what its row allows, through doors', async (t) => {
  const used = new Set<string>();
  for (const [file, targets] of edges) {
    const from = roomOf(file);
    for (const target of targets) {
      const to = roomOf(target);
      if (to === from || to === 'ground') continue;
      used.add(`${from} > ${to}`);
      const { may = '' } = HOUSE[from] ?? {};
      const { doors = '' } = HOUSE[to] ?? {};
      check(t, may.split(' ').includes(to), `${file} imports ${target}: ${from} may not import ${to}`);
      const door = (target.split('/').at(-1) ?? '').replace(/\.ts$/, '');
      check(t, doors === 'all' || doors.split(' ').includes(door), `${file} imports ${target}: it is no door`);
    }
  }
  for (const [room, { may }] of Object.entries(HOUSE)) {
    for (const other of may.split(' ').filter(Boolean)) {
      check(t, used.has(`${room} > ${other}`), `no import needs the row's ${room} > ${other}`);
    }
  }
});

test('the doors of the table exist, and each is used', async (t) => {
  for (const [room, { doors }] of Object.entries(HOUSE)) {
    if (doors === 'all') continue;
    for (const door of doors.split(' ').filter(Boolean)) {
      const path = `${room}/${door}.ts`;
      check(t, existsSync(join(SRC, path)), `${path} exists`);
      const fromOutside = [...edges].some(([file, targets]) => targets.includes(path) && roomOf(file) !== room);
      check(t, fromOutside, `${path} is imported from another room`);
    }
  }
});

test('the ground imports only the ground', async (t) => {
  for (const [file, targets] of edges) {
    if (roomOf(file) !== 'ground') continue;
    for (const target of targets) check(t, roomOf(target) === 'ground', `${file} imports ${target}`);
  }
});

test('no file reaches itself', async (t) => {
  for (const file of files) {
    const path = circleFrom(file);
    check(t, path === undefined, `a circle: ${path?.join(' → ')}`);
  }
});

/** The shortest way from a file back to itself, if there is one. */
function circleFrom(file: string): string[] | undefined {
  const queue: string[][] = [[file]];
  const seen = new Set<string>();
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    for (const next of edges.get(path.at(-1) ?? '') ?? []) {
      if (next === file) return [...path, next];
      if (seen.has(next)) continue;
      seen.add(next);
      queue.push([...path, next]);
    }
  }
  return undefined;
}

test('each dependency has one door', async (t) => {
  for (const file of files) {
    for (const name of importsOf(file)) {
      for (const [dependency, door] of DEPENDENCY_DOORS) {
        if (name === dependency || name.startsWith(dependency.endsWith('/') ? dependency : `${dependency}/`)) {
          t.match(file, door, `${file} imports ${name}`);
        }
      }
    }
  }
});
