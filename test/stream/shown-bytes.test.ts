// How much a chain shows: what is hidden, zeroed or was never written counts for nothing, what is compressed at its full size.
import { test } from 'tap';
import { shownBytes } from '../../src/stream/shown-bytes.ts';
import { KiB, TiB } from '../../src/units.ts';
import type { ChainShape } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { checkedChain } from '../helpers/served-chain.ts';
import { tempFolder } from '../helpers/tmp.ts';

const UNIT = 64 * KiB;
const signal = new AbortController().signal;

const SHAPES: Record<string, readonly [ChainShape, units: number]> = {
  'data and holes': [{ layers: ['AB--C---'] }, 3],
  'data that newer layers hide': [{ layers: ['ABCD', 'EF', '-G'] }, 4],
  'zeroed by a newer layer': [{ layers: ['ABCD', '-00-'] }, 2],
  compressed: [{ layers: [{ cells: 'AAAA--', compressed: true }, 'B-----C'] }, 5],
  'blanks that are stored': [{ layers: ['A\0\0\0'] }, 4],
  'a disk that grew': [{ layers: ['AB', { cells: '---C', size: 16 * UNIT }] }, 3],
  'a TiB with little in it': [{ size: TiB, layers: ['A', '-B'] }, 2],
  nothing: [{ size: 8 * UNIT, layers: [''] }, 0],
};

test('what a sparse copy of the disk can occupy at most', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'setpriv')) return;
  for (const [name, [shape, units]] of Object.entries(SHAPES)) {
    const { store, chain } = await checkedChain(t, shape);
    t.equal(await shownBytes({ store, chain, folder: tempFolder(t), concurrency: 4, signal }), units * UNIT, name);
  }
});
