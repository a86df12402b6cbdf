// Why `-u`, why onto the parent, why the tip, why `-F`: each with real layers. docs/format.md tells the story.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { compare } from '../../src/qemu/compare.ts';
import { fileNode, rawNode, rebasedChain } from '../../src/qemu/graph.ts';
import { rebaseUnsafe } from '../../src/qemu/rebase.ts';
import { MiB } from '../../src/units.ts';
import { type ChainShape, makeChain, qemu, type TestChain } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';

const { signal } = new AbortController();

/** What the first layer has and nobody changes, what only the middle one changes, what the tip changes. */
const THREE: ChainShape = { layers: ['AAAA', '-BB0', '--C-'] };

/** Whether a layer shows the true disk through the `depth` layers that its headers lead to. */
async function showsTruth(chain: TestChain, layer: number, depth = layer + 1): Promise<boolean> {
  const source = rebasedChain(fileNode(chain.layers[layer] ?? ''), { layers: depth, l2CacheSize: MiB });
  return (
    await compare({ a: source, b: rawNode(fileNode(chain.truth)), name: 'the truth', cache: 'writeback', signal })
  ).identical;
}

async function rebaseInOrder({ layers }: TestChain): Promise<void> {
  for (const [index, image] of layers.entries()) {
    const backing = layers[index - 1];
    if (backing !== undefined) await rebaseUnsafe({ image, backing, signal });
  }
}

function chainOfThree(t: Test): TestChain | undefined {
  return requires(t, 'qemu-img', 'qemu-io') ? makeChain(t, THREE) : undefined;
}

test('rebased onto each other in order with -u, the tip shows the disk', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  await rebaseInOrder(chain);
  t.equal(await showsTruth(chain, 2), true);
});

test('before the rebase, the tip alone does not', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  t.equal(await showsTruth(chain, 2, 1), false);
});

test('without -u qemu-img writes zeros over what should come from the parent', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  for (const [index, image] of chain.layers.entries()) {
    const backing = chain.layers[index - 1];
    if (backing !== undefined) qemu('qemu-img', 'rebase', '-f', 'qcow2', '-F', 'qcow2', '-b', backing, image);
  }
  t.equal(await showsTruth(chain, 2), false);
  const shown = join(chain.dir, 'shown.raw');
  qemu('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', chain.layers[2] ?? '', shown);
  const bytes = readFileSync(shown);
  t.equal(bytes[0], 0, 'the full layer said A');
  t.equal(bytes[65536], 0, 'the middle layer said B');
  t.equal(bytes[131072], 'C'.charCodeAt(0), 'the tip itself is there');
});

test('rebased onto the full, the changes of the layers between are lost', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  const [base = '', ...incrementals] = chain.layers;
  for (const image of incrementals) await rebaseUnsafe({ image, backing: base, signal });
  t.equal(await showsTruth(chain, 2, 2), false);
});

test('the full alone shows the oldest state, the middle layer the one before last', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  await rebaseInOrder(chain);
  t.equal(await showsTruth(chain, 0), false);
  t.equal(await showsTruth(chain, 1), false);
});

test('in the wrong order, or without one of them, the bytes are wrong and nothing complains', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  const [base = '', middle = '', tip = ''] = chain.layers;
  await rebaseUnsafe({ image: tip, backing: base, signal });
  t.equal(await showsTruth(chain, 2, 2), false, 'the middle one left out');
  const swapped = makeChain(t, { layers: ['AAAA', '-BB0', '-CC-'] });
  const [first = '', second = '', third = ''] = swapped.layers;
  await rebaseUnsafe({ image: third, backing: first, signal });
  await rebaseUnsafe({ image: second, backing: third, signal });
  t.equal(await showsTruth(swapped, 1, 3), false, 'the last two swapped');
  for (const path of [base, middle, tip, first, second, third]) {
    t.match(qemu('qemu-img', 'check', '-f', 'qcow2', path), /No errors were found/);
  }
});

test('without -F qemu-img refuses', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  const [base = '', image = ''] = chain.layers;
  const { status, stderr } = spawnSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-b', base, image], {
    encoding: 'utf8',
  });
  t.equal(status, 1);
  t.match(stderr, /backing format/);
});

test('nothing but the first cluster changes, whatever was recorded there, and no other file is opened', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'strace')) return;
  const recordedBacking = '/etc/shadow';
  const { dir, layers } = makeChain(t, { layers: ['AA', { cells: '-B', recordedBacking }] });
  const image = layers[1] ?? '';
  const before = readFileSync(image);
  const trace = join(dir, 'trace');
  const args = ['rebase', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', '00.qcow2', image];
  execFileSync('strace', ['-f', '--seccomp-bpf', '-e', 'trace=open,openat', '-o', trace, 'qemu-img', ...args]);
  const opened = [...readFileSync(trace, 'utf8').matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? '');
  t.strictSame(
    opened.filter((path) => path.includes('shadow') || path.includes('00.qcow2')),
    [],
  );
  t.ok(opened.includes(image));
  const after = readFileSync(image);
  t.equal(before.subarray(65536).equals(after.subarray(65536)), true);
  t.equal(before.subarray(0, 65536).equals(after.subarray(0, 65536)), false);
});

const SHAPES: readonly [string, ChainShape][] = [
  [
    'a disk that grew twice',
    { size: 2 * MiB, layers: ['A', { cells: '-B', size: 3 * MiB }, { cells: '--C', size: 8 * MiB }] },
  ],
  ['an incremental with nothing changed', { layers: ['AB', '', '-C'] }],
  ['clusters of 512 bytes', { clusterSize: 512, unit: 512, layers: ['AAAA', '-BB0', '--C-'] }],
  ['clusters of 4 KiB', { clusterSize: 4096, layers: ['AAAA', '-BB0', '--C-'] }],
  ['clusters of 2 MiB', { clusterSize: 2 * MiB, unit: 2 * MiB, layers: ['AAAA', '-BB0', '--C-'] }],
  ['version 2', { layers: ['AAAA', '-BB0', '--C-'].map((cells) => ({ cells, options: 'compat=0.10' })) }],
  ['compressed layers', { layers: ['AAAA', '-BB0', '--C-'].map((cells) => ({ cells, compressed: true })) }],
  [
    'zstd layers',
    { layers: ['AA', '-B'].map((cells) => ({ cells, compressed: true, options: 'compression_type=zstd' })) },
  ],
  [
    'subclusters',
    { unit: 2048, layers: ['AAAA', '-BB0', '--C-'].map((cells) => ({ cells, options: 'extended_l2=on' })) },
  ],
  ['recorded backing paths', { layers: ['AA', { cells: '-B', recordedBacking: '/var/lib/x/disk.img' }] }],
  ['a backing name of 1023 bytes', { layers: ['AA', { cells: '-B', recordedBacking: `/${'x'.repeat(1022)}` }] }],
  ['a recorded graph', { layers: ['AA', { cells: '-B', recordedBacking: 'json:{"driver":"null-co"}' }] }],
  [
    'mixed cluster sizes',
    {
      layers: [
        { cells: 'AA', options: 'cluster_size=2M' },
        { cells: '-B', options: 'cluster_size=4k' },
      ],
    },
  ],
];

for (const [title, shape] of SHAPES) {
  test(`shows the disk of a chain with ${title}`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const chain = makeChain(t, shape);
    await rebaseInOrder(chain);
    t.equal(await showsTruth(chain, chain.layers.length - 1), true);
  });
}

test('says which layer cannot be rebased, and why', async (t) => {
  const chain = chainOfThree(t);
  if (chain === undefined) return;
  const image = chain.layers[1] ?? '';
  copyFileSync('/dev/null', image);
  await t.rejects(rebaseUnsafe({ image, backing: chain.layers[0] ?? '', signal }), {
    code: 'IMAGE_CORRUPT',
    message: /cannot rebase .*01\.qcow2 onto 00\.qcow2: .*not in qcow2 format/,
  });
});

test('takes no parent with a path or a protocol for a name', async (t) => {
  await t.rejects(rebaseUnsafe({ image: '/a/01.qcow2', backing: '/b/00.qcow2', signal }), TypeError);
  await t.rejects(rebaseUnsafe({ image: '/a/01.qcow2', backing: '/a/nbd:x', signal }), TypeError);
});
