// The forecast says what qemu-img map says: which bytes of which layer the disk shows, in guest order.
import { test } from 'tap';
import { chainGraph, fileNode } from '../../../src/qemu/graph.ts';
import { mapImage } from '../../../src/qemu/map.ts';
import type { ServedChain } from '../../../src/stream/served-chain.ts';
import { forecast } from '../../../src/stream/window/forecast.ts';
import { GiB, KiB, MiB } from '../../../src/units.ts';
import type { ChainShape, TestChain } from '../../helpers/chain.ts';
import { requires } from '../../helpers/requires.ts';
import { checkedChain, withChain } from '../../helpers/served-chain.ts';

const SHAPES: Readonly<Record<string, ChainShape>> = {
  'one layer': { layers: ['AA--AA'] },
  'layers that hide each other in part': { layers: ['AAAAAAAA', '-BB-', '--CC0', 'D------D'] },
  'an empty layer': { layers: ['AAAA', '', '-B'] },
  'clusters of 512 bytes': { clusterSize: 512, unit: 4 * KiB, layers: ['AAAAAA', '-B-0B'] },
  'clusters of 4 KiB': { clusterSize: 4 * KiB, unit: 4 * KiB, layers: [`${'A'.repeat(600)}`, `${'-B'.repeat(300)}`] },
  'clusters of 2 MiB': { clusterSize: 2 * MiB, unit: 2 * MiB, layers: ['AAA-A', '-B--C'] },
  'layers of different cluster sizes': {
    layers: [
      { cells: 'AAAAAAAA', options: 'cluster_size=2M' },
      { cells: '-B-B', options: 'cluster_size=4k' },
      { cells: '--CC' },
    ],
  },
  subclusters: { unit: 16 * KiB, layers: [{ cells: 'AAAAAAAA' }, { cells: '-B0-B', options: 'extended_l2=on' }] },
  'a disk that grew': { layers: ['AAAA', { cells: '------BB', size: 512 * KiB }, { cells: '-C', size: 512 * KiB }] },
  'version 2': {
    layers: [
      { cells: 'AAAA', options: 'compat=0.10' },
      { cells: '-B', options: 'compat=0.10' },
    ],
  },
  'far apart on a large disk': { size: 40 * GiB, unit: (8 * GiB) / 64, layers: ['', ''] },
};

interface Shown {
  readonly layer: number;
  readonly offset: number;
  readonly length: number;
}

for (const [name, shape] of Object.entries(SHAPES)) {
  test(name, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const checked = await checkedChain(t, shape);
    await withChain(t, checked, async (served) => {
      t.strictSame(await foreseen(served, checked.made.size), await mapped(checked.made));
    });
  });
}

test('a part of the disk', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, { layers: ['AAAAAAAA', '-B--BB'] });
  await withChain(t, checked, async (served) => {
    const range = { offset: 96 * KiB, length: 200 * KiB };
    const found = await foreseen(served, range.length, range.offset);
    t.equal(sum(found), range.length);
    t.strictSame(
      found.map(({ layer }) => layer),
      [1, 0, 1],
    );
  });
});

test('compressed clusters are found where they lie', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const checked = await checkedChain(t, {
    layers: [{ cells: 'AAAA', compressed: true }, '-B', { cells: '---C', compressed: true }],
  });
  await withChain(t, checked, async (served) => {
    const found = await foreseen(served, checked.made.size);
    t.strictSame(
      found.map(({ layer }) => layer),
      [0, 1, 0, 2],
    );
    for (const { layer, offset, length } of found.filter(({ layer: index }) => index !== 1)) {
      t.ok(length < 4 * KiB && offset + length <= (served.layers[layer]?.size ?? 0), 'small, and inside of the file');
    }
  });
});

async function foreseen(served: ServedChain, length: number, offset = 0): Promise<Shown[]> {
  const shown: Shown[] = [];
  for await (const { layer, offset: at, length: bytes } of forecast({ ...served, range: { offset, length } })) {
    shown.push({ layer: layer.index, offset: at, length: bytes });
  }
  return joined(shown);
}

async function mapped({ layers }: TestChain): Promise<Shown[]> {
  const [base, ...rest] = layers.map((path) => fileNode(path));
  if (base === undefined) throw new Error('a chain has a layer');
  const shown: Shown[] = [];
  for await (const run of mapImage({ source: chainGraph([base, ...rest]), signal: new AbortController().signal })) {
    if (!run.data || run.offset === undefined) continue;
    shown.push({ layer: layers.length - 1 - run.depth, offset: run.offset, length: run.length });
  }
  return joined(shown);
}

/** Neighbours in one layer as one, as either side may cut them. */
function joined(shown: readonly Shown[]): Shown[] {
  const runs: Shown[] = [];
  for (const one of shown) {
    const last = runs.at(-1);
    if (last?.layer === one.layer && last.offset + last.length === one.offset) {
      runs[runs.length - 1] = { ...last, length: last.length + one.length };
    } else {
      runs.push(one);
    }
  }
  return runs;
}

function sum(shown: readonly Shown[]): number {
  return shown.reduce((bytes, { length }) => bytes + length, 0);
}
