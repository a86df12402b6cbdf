// Forged and damaged layers through the whole path, under strace: nothing is opened that is not ours, nothing hangs or
// crashes, and what is restored is what plain qemu-img makes of the very same files.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, planFor } from '../helpers/backup.ts';
import { type Mutation, namedMutations, randomMutations } from '../helpers/mutations.ts';
import { seededRandom } from '../helpers/random.ts';
import { requires } from '../helpers/requires.ts';
import { endSchema, type RestoreCase, type RestoreEnd } from '../helpers/restore-many.ts';
import { cleanEnvironment } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BACKUP = 'backup-003';
const STRATEGIES = ['staged', 'stream', 'staged-raw'] as const;
/** `KUBEVIRT_DM_TEST_SEED` replays a run, `KUBEVIRT_DM_TEST_MUTATIONS` makes more of each random kind. */
const SEED = process.env.KUBEVIRT_DM_TEST_SEED ?? '1';
const EACH = Number(process.env.KUBEVIRT_DM_TEST_MUTATIONS ?? 6);

/** What a bad layer may be called; anything else would be an accident. */
const CODES = ['IMAGE_CORRUPT', 'IMAGE_UNSAFE', 'CHAIN_BROKEN', 'TARGET_FULL'];

interface HostileCase extends RestoreCase {
  readonly bucket: string;
  readonly target: string;
  readonly sha256: boolean;
}

test('forged and damaged layers', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'strace')) return;
  const shapes = [
    { like: 'kubevirt', format: {} },
    { like: 'other', format: { clusterSize: 4 * KiB, compressed: true } },
  ] as const;
  const bait = join(tempFolder(t), 'bait');
  writeFileSync(bait, 'x'.repeat(4096));
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  let connections = 0;
  server.on('connection', () => (connections += 1));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const random = seededRandom(`hostile ${SEED}`);
  const backups: BackupForTest[] = [];
  for (const { like, format } of shapes) {
    const disk = { name: 'rootdisk', size: 4 * MiB, ...format };
    const made = await madeBackup(t, { like, disks: [disk], checkpoints: 3 });
    backups.push(made);
  }
  const mutations = [...namedMutations(bait, port), ...randomMutations(random, EACH)];
  const cases: HostileCase[] = [];
  for (const [index, mutation] of mutations.entries()) {
    const made = backups[index % backups.length];
    if (made === undefined) throw new RangeError('no backup');
    // `stream` refuses a plan with checksums, which it cannot check.
    const sha256 = random() < 0.15 && index % STRATEGIES.length !== 1;
    cases.push(
      await makeCase(made, {
        mutation,
        layer: Math.floor(random() * 3),
        strategy: STRATEGIES[index % 3] ?? 'staged',
        sha256,
        index,
      }),
    );
  }
  const runtime = tempFolder(t);
  const { ends, opened } = await restoreUnderStrace(t, cases, runtime);
  const outcomes = new Map<string, number>();
  for (const one of cases) {
    const end = ends.get(one.name);
    outcomes.set(end?.code ?? 'none', (outcomes.get(end?.code ?? 'none') ?? 0) + 1);
    await judge(t, one, end);
  }
  t.comment(JSON.stringify(Object.fromEntries(outcomes)));
  t.ok(
    opened.some((path) => path.endsWith('/02.qcow2')),
    'opens are seen',
  );
  const own = [runtime, ...backups.map(({ folder }) => folder)];
  const foreign = opened.filter((path) => !isOurs(path, own));
  t.strictSame([...new Set(foreign)], [], 'nothing else is opened');
  t.equal(connections, 0, 'nothing is connected to');
});

async function makeCase(
  made: BackupForTest,
  {
    mutation,
    layer,
    strategy,
    sha256,
    index,
  }: { mutation: Mutation; layer: number; strategy: RestoreCase['strategy']; sha256: boolean; index: number },
): Promise<HostileCase> {
  const folder = join(made.folder, `case-${index}`);
  const bucket = join(folder, 'bucket');
  cpSync(made.directory, bucket, { recursive: true });
  const target = join(folder, 'disk.raw');
  const plan = await planFor(
    made,
    BACKUP,
    { rootdisk: target },
    {
      scratch: join(folder, 'scratch'),
      sha256,
      edit: (document) => {
        document.source = { directory: bucket };
        for (const one of document.pvcs[0]?.chain ?? []) delete one.size;
      },
    },
  );
  const path = layerPaths(bucket)[layer] ?? '';
  writeFileSync(path, mutation.apply(readFileSync(path)));
  return { name: `${index} ${strategy}: ${mutation.name} in layer ${layer}`, plan, strategy, bucket, target, sha256 };
}

async function restoreUnderStrace(
  t: Test,
  cases: readonly RestoreCase[],
  runtime: string,
): Promise<{ ends: ReadonlyMap<string, RestoreEnd>; opened: readonly string[] }> {
  const log = join(tempFolder(t), 'strace');
  const program = fileURLToPath(new URL('../helpers/restore-many.ts', import.meta.url));
  const command = [
    '-f',
    '--seccomp-bpf',
    '-qq',
    '-s',
    '2000',
    '-e',
    'trace=open,openat,openat2,connect',
    '-o',
    log,
    process.execPath,
    program,
  ];
  // Node's own cache of compiled code would be among what is opened.
  const cache = { NODE_COMPILE_CACHE: undefined, NODE_DISABLE_COMPILE_CACHE: '1' };
  const env = { ...cleanEnvironment({ XDG_RUNTIME_DIR: runtime, ...cache }), NODE_OPTIONS: '' };
  const child = spawn('strace', command, { env, cwd: runtime, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(cases.map((one) => `${JSON.stringify(one)}\n`).join(''));
  const [said] = await Promise.all([text(child.stdout), once(child, 'close')]);
  const ends = said
    .split('\n')
    .filter(Boolean)
    .map((line) => endSchema.parse(JSON.parse(line)));
  const opened = [
    ...readFileSync(log, 'utf8').matchAll(/^\d+ +(?:openat2?\((?:AT_FDCWD|\d+[^,]*), |open\(|connect\(\d+, )(.*)$/gm),
  ];
  return { ends: new Map(ends.map((end) => [end.name, end])), opened: opened.map(([, rest = '']) => pathOf(rest)) };
}

/** The path of an open, or the address of a connect as strace writes it. */
function pathOf(call: string): string {
  const unix = /^\{sa_family=AF_UNIX, sun_path="([^"]*)"/.exec(call);
  const path = /^"((?:[^"\\]|\\.)*)"/.exec(call);
  return unix?.[1] ?? path?.[1] ?? call;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Programs, libraries and their settings, the kernel's tables, and what libc asks once. */
const SYSTEM = [
  ROOT,
  dirname(dirname(process.execPath)),
  '/lib',
  '/usr/',
  '/bin',
  '/proc/',
  '/sys/',
  '/dev/null',
  '/dev/urandom',
  '/etc/ld.so.',
  '/etc/ssl/',
  '/var/run/nscd/socket',
  '/etc/nsswitch.conf',
  '/etc/passwd',
  '/etc/localtime',
  '/node_modules',
  '/package.json',
];

function isOurs(path: string, own: readonly string[]): boolean {
  return [...SYSTEM, ...own].some((prefix) => path.startsWith(prefix)) || path === 'claim';
}

async function judge(t: Test, one: HostileCase, end: RestoreEnd | undefined): Promise<void> {
  if (end === undefined) {
    t.fail(`${one.name}: no outcome`);
    return;
  }
  if (end.code !== 'ok') {
    const taken = one.sha256 ? [...CODES, 'CHECKSUM_MISMATCH'] : CODES;
    t.ok(taken.includes(end.code), `${one.name}: ${end.code} (${end.message.slice(0, 200)})`);
    t.notOk(existsSync(one.target), 'nothing is left at the target');
    return;
  }
  const expected = plainQemu(one);
  t.equal(await difference(one.target, expected), undefined, `${one.name}: restored as qemu-img does (seed ${SEED})`);
}

/** The recipe by hand: rebase -u each onto the one before, convert the last. */
function plainQemu({ bucket, target }: HostileCase): string {
  const folder = join(dirname(target), 'plain');
  mkdirSync(folder);
  const paths = layerPaths(bucket);
  for (const [index, path] of paths.entries()) {
    const copy = join(folder, `${index}`);
    copyFileSync(path, copy);
    if (index > 0)
      execFileSync('qemu-img', [
        'rebase',
        '-u',
        '-f',
        'qcow2',
        '-F',
        'qcow2',
        '-b',
        join(folder, `${index - 1}`),
        copy,
      ]);
  }
  const raw = join(folder, 'disk.raw');
  execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', join(folder, `${paths.length - 1}`), raw]);
  return raw;
}

function layerPaths(bucket: string): string[] {
  const vm = join(bucket, 'checkpoints/demo/web');
  const ids = readdirSync(vm).filter((name) => name !== 'index.json');
  return ids.sort().map((id, index) => join(vm, id, `vmb-00${index + 1}-rootdisk.qcow2`));
}
