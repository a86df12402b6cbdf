// A layer's export fulfils the contract, whoever reads its data: directly, or through a block cache.
import { readFileSync } from 'node:fs';
import { t as root, type Test, test } from 'tap';
import { rebasedHead } from '../../src/qcow2/rebased-head.ts';
import { Arena } from '../../src/stream/fetch/arena.ts';
import { BlockCache } from '../../src/stream/fetch/block-cache.ts';
import { type DataReader, directReader } from '../../src/stream/fetch/data-reader.ts';
import { RemoteLayer } from '../../src/stream/fetch/remote-layer.ts';
import { Slots } from '../../src/stream/fetch/slots.ts';
import { layerExport } from '../../src/stream/layer-export.ts';
import { Metadata, type TableOrder } from '../../src/stream/tables/metadata.ts';
import { KiB, MiB } from '../../src/units.ts';
import { type ExportUnderTest, exportContract } from '../contract/export.ts';
import { requires } from '../helpers/requires.ts';
import { type CheckedTestChain, checkedChain } from '../helpers/served-chain.ts';

interface Reading {
  readonly reader: DataReader;
  readonly end: () => Promise<void>;
}

type Make = (parts: {
  readonly layers: readonly RemoteLayer[];
  readonly metadata: Metadata;
  readonly slots: Slots;
  readonly signal: AbortSignal;
}) => Promise<Reading>;

/** Made once: nobody writes to it. */
let shared: Promise<CheckedTestChain> | undefined;

/** 1.5 MiB of data in a layer with tables between them; arenas that hold less, and more, than that. */
async function open(t: Test, make: Make, order: TableOrder): Promise<ExportUnderTest> {
  shared ??= checkedChain(root, { unit: 64 * KiB, layers: ['ABCDEFGHIJKLMNOPQRSTUVWX', '-x-y-z'] });
  const { made, store, chain } = await shared;
  const ending = new AbortController();
  const { signal } = ending;
  const layers = chain.layers.map((checked, index) => new RemoteLayer({ store, checked, index, onFetched: () => {} }));
  const slots = new Slots(4);
  const metadata = await Metadata.open({ layers, slots, signal, onError: (error) => t.error(error) });
  const { reader, end } = await make({ layers, metadata, slots, signal });
  const [layer] = layers;
  if (layer === undefined) throw new Error('a chain has a layer');
  const bytes = readFileSync(made.layers[0] ?? '');
  const head = rebasedHead(bytes, layer.header, { backing: undefined, where: 'layer' });
  const shown = order === 'chain' ? { head } : {};
  if (order === 'chain') bytes.fill(0, 0, layer.header.clusterSize).set(head);
  return {
    export: layerExport({ name: '0', layer, metadata, order, reader: () => reader, ...shown }),
    bytes,
    close: async () => {
      ending.abort(new Error('over'));
      await end();
      await metadata.ended();
    },
  };
}

const cacheOf =
  (size: number): Make =>
  async ({ slots, signal }) => {
    const cache = new BlockCache({ arena: new Arena(size), slots, signal });
    return { reader: cache, end: () => cache.ended() };
  };

const READERS: Readonly<Record<string, Make>> = {
  'read directly': async () => ({ reader: directReader, end: async () => {} }),
  'through a block cache': cacheOf(16 * MiB),
  'through a block cache with room for one block': cacheOf(512 * KiB),
};

test('needs qemu-img', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  for (const [name, make] of Object.entries(READERS)) {
    exportContract(`a layer with a header of ours, ${name},`, (t) => open(t, make, 'chain'));
  }
  exportContract('a layer as it is', (t) => open(t, cacheOf(16 * MiB), 'layer'));
});
