// A file cut short within its last cluster: found where it loses data, left alone where it is as qemu makes it.
import { readFile, stat, truncate } from 'node:fs/promises';
import { type Test, test } from 'tap';
import { examineImage } from '../../src/chain/examine.ts';
import { HEADER_READ_BYTES, parseHeader } from '../../src/qcow2/header.ts';
import { fileNode } from '../../src/qemu/graph.ts';
import { KiB, MiB } from '../../src/units.ts';
import { type ChainShape, makeChain, qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';

const { signal } = new AbortController();

async function examine(path: string): Promise<void> {
  const bytes = await readFile(path);
  const header = parseHeader(bytes.subarray(0, HEADER_READ_BYTES), path);
  const read = async ({ offset, length }: { offset: number; length: number }) =>
    bytes.subarray(offset, offset + length);
  await examineImage({ image: fileNode(path), header, fileSize: bytes.length, where: path, read, signal });
}

function oneLayer(t: Test, shape: ChainShape): string {
  return makeChain(t, shape).layers[0] ?? '';
}

async function cut(path: string, bytes: number): Promise<void> {
  await truncate(path, (await stat(path)).size - bytes);
}

const WHOLE: readonly [string, ChainShape][] = [
  ['nothing written', { size: MiB, layers: [''] }],
  ['clusters of 512 bytes', { clusterSize: 512, layers: ['AB-C'] }],
  ['clusters of 2 MiB', { clusterSize: 2 * MiB, size: 8 * MiB, layers: ['A'] }],
  ['subclusters', { layers: [{ cells: 'A', options: 'extended_l2=on' }], unit: 4 * KiB, size: MiB }],
  ['compressed clusters', { layers: [{ cells: 'AB', compressed: true }] }],
  ['version 2', { layers: [{ cells: 'AB', options: 'compat=0.10' }] }],
  ['a disk that ends within a cluster', { size: MiB + 512, unit: 512, layers: ['-'.repeat(2048).concat('A')] }],
];

for (const [title, shape] of WHOLE) {
  test(`lets a whole layer pass: ${title}`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    await t.resolves(examine(oneLayer(t, shape)));
  });
}

test('finds a data cluster that is cut by one byte', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const path = oneLayer(t, { layers: ['AB'] });
  await cut(path, 1);
  await t.rejects(examine(path), { code: 'IMAGE_CORRUPT', message: /truncated image: the last data cluster/ });
});

test('finds a subcluster that is cut by one sector', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const path = oneLayer(t, { layers: [{ cells: 'A', options: 'extended_l2=on' }], unit: 4 * KiB, size: MiB });
  await cut(path, 512);
  await t.rejects(examine(path), { code: 'IMAGE_CORRUPT', message: /truncated image: the last data cluster/ });
});

test('finds an L2 table that is cut, which qemu-img check lets pass', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  // A zeroed cluster 512 MiB further on needs a second L2 table and no data cluster: the table is what the file ends with.
  const path = oneLayer(t, { size: 1024 * MiB, layers: [`A${'-'.repeat(8191)}0`] });
  await cut(path, 32 * KiB);
  t.match(qemu('qemu-img', 'check', '-f', 'qcow2', path), /No errors were found/);
  await t.rejects(examine(path), { code: 'IMAGE_CORRUPT', message: /truncated image: an L2 table/ });
});

test('finds a file cut by a cluster and more', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const path = oneLayer(t, { layers: ['ABCD'] });
  await cut(path, 65537);
  await t.rejects(examine(path), { code: 'IMAGE_CORRUPT' });
});
