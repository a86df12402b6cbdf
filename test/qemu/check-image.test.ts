// What `qemu-img check` finds in a layer, and what it never touches.
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'tap';
import { checkImage } from '../../src/qemu/check-image.ts';
import { makeChain, qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';

const { signal } = new AbortController();
const CLUSTER = 65536;
/** Where `qemu-img create` and the first writes put things. */
const REFCOUNT_BLOCK = 2 * CLUSTER;
const L2_TABLE = 4 * CLUSTER;

function change(path: string, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  edit(bytes);
  writeFileSync(path, bytes);
}

test('a sound layer is clean, and its figures are told', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { layers } = makeChain(t, { layers: ['AB', { cells: 'AB', compressed: true }] });
  t.match(await checkImage({ image: layers[0] ?? '', signal }), {
    outcome: 'clean',
    leaks: 0,
    imageEndOffset: 7 * CLUSTER,
    allocatedClusters: 2,
    compressedClusters: 0,
  });
  t.match(await checkImage({ image: layers[1] ?? '', signal }), { outcome: 'clean', compressedClusters: 2 });
});

test('the parent that a header names is not opened', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { layers } = makeChain(t, { layers: ['A', { cells: '-B', recordedBacking: '/nowhere.img' }] });
  t.throws(() => qemu('qemu-img', 'check', layers[1] ?? ''), /nowhere/);
  t.match(await checkImage({ image: layers[1] ?? '', signal }), { outcome: 'clean' });
});

test('an L2 entry that was zeroed leaks its cluster', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const path = makeChain(t, { layers: ['AB'] }).layers[0] ?? '';
  change(path, (bytes) => bytes.fill(0, L2_TABLE, L2_TABLE + 8));
  t.match(await checkImage({ image: path, signal }), { outcome: 'leaks', leaks: 1 });
});

test('a cluster that nobody counts is corrupt', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const path = makeChain(t, { layers: ['AB'] }).layers[0] ?? '';
  change(path, (bytes) => bytes.fill(0, REFCOUNT_BLOCK, REFCOUNT_BLOCK + 16));
  await t.rejects(checkImage({ image: path, where: 'cp-1', signal }), {
    code: 'IMAGE_CORRUPT',
    message: /^cp-1: invalid qcow2 image: its tables contradict each other/,
  });
});

test('what is no qcow2 is corrupt', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const path = makeChain(t, { layers: ['AB'] }).layers[0] ?? '';
  change(path, (bytes) => bytes.fill(0, 0, 4));
  await t.rejects(checkImage({ image: path, signal }), {
    code: 'IMAGE_CORRUPT',
    message: /it cannot be opened or checked: .*not in qcow2 format/,
  });
});

test('a dirty layer fails until it is repaired, and shows the same bytes then', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { layers, truth } = makeChain(t, { layers: [{ cells: 'AB', options: 'lazy_refcounts=on' }] });
  const path = layers[0] ?? '';
  // Dirty, with refcounts that were not written: as a QEMU with lazy refcounts leaves it when it is killed.
  change(path, (bytes) => {
    bytes.writeUInt8(1, 79);
    bytes.fill(0, REFCOUNT_BLOCK + 10, REFCOUNT_BLOCK + 16);
  });
  await t.rejects(checkImage({ image: path, signal }), { code: 'IMAGE_CORRUPT' });
  t.match(await checkImage({ image: path, repair: 'all', signal }), { outcome: 'clean' });
  t.match(await checkImage({ image: path, signal }), { outcome: 'clean' });
  t.match(qemu('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', path, truth), /identical/);
});
