// What the tables' cache holds, and that it counts each table once.
import { test } from 'tap';
import type { TableSlice } from '../../../src/qcow2/table-index.ts';
import { RemoteLayer } from '../../../src/stream/fetch/remote-layer.ts';
import { TableBatch } from '../../../src/stream/tables/batch.ts';
import { TableCache } from '../../../src/stream/tables/cache.ts';
import { KiB } from '../../../src/units.ts';
import { requires } from '../../helpers/requires.ts';
import { checkedChain } from '../../helpers/served-chain.ts';

test('a table that is named twice, expected again or forgotten costs what it holds', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { store, chain } = await checkedChain(t, { unit: 64 * KiB, layers: ['A'] });
  const [checked] = chain.layers;
  if (checked === undefined) throw new Error('a chain has a layer');
  const layer = new RemoteLayer({ store, checked, index: 0, onFetched: () => {} });
  const slices = [0, 1, 2].map((rank): TableSlice => ({ start: rank * 4096, end: (rank + 1) * 4096, rank }));
  const [first, second, third] = slices as [TableSlice, TableSlice, TableSlice];
  const bytes = Buffer.alloc(4096, 1);
  // Room for three of them.
  const cache = new TableCache(15_000);
  const batch = TableBatch.fetched(layer, first);
  cache.expect(batch);
  for (let times = 0; times < 10; times += 1) cache.keep(layer, first, bytes);
  t.ok(cache.has(layer, first), 'kept ten times, it is still there');
  for (let times = 0; times < 10; times += 1) {
    cache.expect(batch);
    cache.keep(layer, first, bytes);
  }
  for (let times = 0; times < 10; times += 1) {
    cache.forget(batch);
    cache.expect(batch);
    cache.keep(layer, first, bytes);
  }
  for (const slice of [second, third]) {
    cache.expect(TableBatch.fetched(layer, slice));
    cache.keep(layer, slice, bytes);
  }
  t.ok(
    slices.every((slice) => cache.has(layer, slice)),
    'all three have room',
  );
  const fourth = { start: 3 * 4096, end: 4 * 4096, rank: 3 };
  cache.expect(TableBatch.fetched(layer, fourth));
  cache.keep(layer, fourth, bytes);
  t.notOk(cache.has(layer, first), 'a fourth one takes the place of the oldest');
  t.ok(cache.has(layer, second));
});
