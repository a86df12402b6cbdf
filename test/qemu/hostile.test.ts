// Layers that somebody damaged or forged: an error with a code, or the very bytes that plain qemu-img gives. And nothing
// that they name is opened.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { GiB } from '../../src/units.ts';
import { type ChainShape, makeChain, qemu, type TestChain } from '../helpers/chain.ts';
import { rebuild } from '../helpers/rebuild.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();
const RUNS = 48;
const EXPECTED = new Set(['IMAGE_CORRUPT', 'IMAGE_UNSAFE', 'CHAIN_BROKEN', 'TOOL_FAILED']);

const SHAPES: readonly ChainShape[] = [
  { layers: ['ABCD0A', '-E-0', '--F'] },
  { clusterSize: 4096, unit: 4096, layers: ['ABCD0A', '-E-0', '--F'] },
  { layers: ['ABCD0A', '-E-0'].map((cells) => ({ cells, compressed: true })) },
  { layers: ['ABCD0A', '-E-0'].map((cells) => ({ cells, options: 'extended_l2=on' })) },
  { layers: ['ABCD0A', '-E-0'].map((cells) => ({ cells, options: 'compat=0.10' })) },
];

for (const [index, shape] of SHAPES.entries()) {
  test(`damaged layers end well, shape ${index}`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const chain = makeChain(t, shape);
    const outcomes = new Map<string, number>();
    for (let seed = index * 1000; seed < index * 1000 + RUNS / SHAPES.length; seed += 1) {
      const folder = tempFolder(t);
      const outcome = await tryDamaged(folder, chain.layers, randomOf(seed)).catch((error: unknown) => {
        t.fail(`seed ${seed}`, { cause: error });
        return 'failed';
      });
      rmSync(folder, { recursive: true });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    t.notOk(outcomes.has('failed') || outcomes.has('other bytes'), JSON.stringify([...outcomes]));
  });
}

/** Damages one layer of a copy, rebuilds it, and does the same with plain qemu-img. */
async function tryDamaged(folder: string, layers: readonly string[], random: () => number): Promise<string> {
  const ours = layers.map((path, index) => copied(path, join(folder, `0${index}.qcow2`)));
  damage(ours[Math.floor(random() * ours.length)] ?? '', random);
  const plain = ours.map((path, index) => copied(path, join(folder, `plain-0${index}.qcow2`)));
  const out = join(folder, 'out.raw');
  try {
    await rebuild(ours, out, { signal });
  } catch (error) {
    if (error instanceof DatamoverError && EXPECTED.has(error.code)) return error.code;
    throw error;
  }
  for (const [index, image] of plain.entries()) {
    if (index > 0)
      qemu('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', `plain-0${index - 1}.qcow2`, image);
  }
  const plainOut = join(folder, 'plain.raw');
  qemu('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', plain.at(-1) ?? '', plainOut);
  // By `cmp`, since damage may make a disk of 512 MiB out of a small one.
  return spawnSync('cmp', ['-s', out, plainOut]).status === 0 ? 'same bytes' : 'other bytes';
}

function damage(path: string, random: () => number): void {
  const bytes = readFileSync(path);
  const kind = Math.floor(random() * 8);
  if (kind === 0) {
    truncateSync(path, Math.floor(random() * bytes.length));
    return;
  }
  for (let changes = random() < 0.7 ? 1 : 3; changes > 0; changes -= 1) {
    // Mostly the header, else one of the first clusters: refcounts, L1 and L2 tables.
    const start = kind < 4 ? 0 : Math.floor(random() * 8) * 2 ** (bytes[23] ?? 16);
    const at = Math.min(bytes.length - 1, start + Math.floor(random() * (kind < 4 ? 112 : 64)));
    bytes[at] = random() < 0.5 ? (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8)) : Math.floor(random() * 256);
  }
  writeFileSync(path, bytes);
}

const HUGE: readonly [string, (bytes: Buffer) => void][] = [
  ['an L1 table of 4 billion entries', (bytes) => bytes.writeUInt32BE(0xffffffff, 36)],
  ['a refcount table of 4 billion clusters', (bytes) => bytes.writeUInt32BE(0xffffffff, 56)],
  ['4 billion snapshots', (bytes) => bytes.writeUInt32BE(0xffffffff, 60)],
  ['a disk of 8 EiB', (bytes) => bytes.writeBigUInt64BE(2n ** 63n - 512n, 24)],
  ['an L1 table at the end of the world', (bytes) => bytes.writeBigUInt64BE(2n ** 63n, 40)],
  ['a header extension of 4 GiB', (bytes) => bytes.writeUInt32BE(0xffffffff, 116)],
  ['an L2 table that points at the L1 table', (bytes) => bytes.writeBigUInt64BE(0x8000000000030000n, 3 * 65536)],
];

for (const [title, edit] of HUGE) {
  test(`refuses ${title}`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const { layers, dir } = makeChain(t, { layers: ['AB'] });
    const bytes = readFileSync(layers[0] ?? '');
    edit(bytes);
    writeFileSync(layers[0] ?? '', bytes);
    await t.rejects(rebuild(layers, join(dir, 'out.raw'), { signal }), { code: 'IMAGE_CORRUPT' });
  });
}

test('a disk of 1 TiB with nothing in it takes no memory to check', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const { layers } = makeChain(t, { clusterSize: 2 ** 21, size: 1024 * GiB, layers: [''] });
  t.ok(statSync(layers[0] ?? '').size < 2 ** 24);
  await t.resolves(rebuild(layers, join(tempFolder(t), 'out.raw'), { signal }));
});

test('nothing that a layer names is opened, over a network or as a file', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'strace')) return;
  const outside = join(tempFolder(t), 'canary');
  copyFileSync('/etc/hostname', outside);
  let clients = 0;
  const server = createServer((socket) => {
    clients += 1;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const names = [
    outside,
    `file:${outside}`,
    `json:{"driver":"raw","file":{"driver":"file","filename":"${outside}"}}`,
    `nbd://127.0.0.1:${port}`,
    `http://127.0.0.1:${port}/x`,
    '01.qcow2',
    `/${'x'.repeat(1022)}`,
  ];
  const rebuilt = names.map((name) => makeChain(t, { layers: ['AB', { cells: '-C', recordedBacking: name }] }));
  const forged = names.map((name) => makeChain(t, { layers: [{ cells: 'AB', recordedBacking: name }] }));
  forged.push(makeChain(t, { size: 65536, layers: [{ cells: '', options: `data_file=${outside}` }] }));
  const { codes, opened } = traced(t, [...rebuilt, ...forged]);
  t.strictSame(codes, [...rebuilt.map(() => 'rebuilt'), ...forged.map(() => 'IMAGE_UNSAFE')]);
  for (const chain of rebuilt) {
    t.equal(readFileSync(join(chain.dir, 'out.raw')).equals(readFileSync(chain.truth)), true);
    t.ok(opened.includes(chain.layers[0] ?? ''), 'the trace shows what is opened');
  }
  t.equal(opened.includes(outside), false);
  t.equal(clients, 0);
});

/** Rebuilds chains in a child under strace: what became of each, and the calls that opened files. */
function traced(t: Test, chains: readonly TestChain[]): { codes: unknown; opened: string } {
  const trace = join(tempFolder(t), 'trace');
  const jobs = chains.map(({ layers, dir }) => ({ layers, out: join(dir, 'out.raw') }));
  const script = `
    import { rebuild } from ${JSON.stringify(new URL('../helpers/rebuild.ts', import.meta.url).href)};
    const { signal } = new AbortController();
    const codes = [];
    for (const { layers, out } of ${JSON.stringify(jobs)}) {
      codes.push(await rebuild(layers, out, { signal }).then(() => 'rebuilt', (error) => error.code ?? String(error)));
    }
    console.log(JSON.stringify(codes));`;
  const strace = ['-f', '--seccomp-bpf', '-qq', '-s', '4096', '-e', 'trace=open,openat,openat2', '-o', trace];
  const { stdout } = spawnSync('strace', [...strace, process.execPath, '--input-type=module', '-e', script], {
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { codes: JSON.parse(stdout), opened: readFileSync(trace, 'utf8') };
}

function copied(from: string, to: string): string {
  copyFileSync(from, to);
  return to;
}

/** mulberry32: a failing seed is found again. */
function randomOf(seed: number): () => number {
  let state = seed + 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
