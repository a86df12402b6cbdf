// The block cache over a real server: how much it asks for at a time, and what becomes of an object that is replaced.
import { readFileSync } from 'node:fs';
import { type Test, test } from 'tap';
import { checkLayers } from '../../../src/chain/check-layers.ts';
import type { ExportData } from '../../../src/nbd/export.ts';
import { Arena } from '../../../src/stream/fetch/arena.ts';
import { BlockCache } from '../../../src/stream/fetch/block-cache.ts';
import { RemoteLayer } from '../../../src/stream/fetch/remote-layer.ts';
import { Slots } from '../../../src/stream/fetch/slots.ts';
import { KiB, MiB } from '../../../src/units.ts';
import { rejectsWith } from '../../contract/store.ts';
import { makeChain } from '../../helpers/chain.ts';
import type { Peer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';
import { storeBehindPeer } from '../../helpers/s3-peer.ts';

const { signal } = new AbortController();

interface CacheBehindPeer {
  readonly cache: BlockCache;
  readonly layer: RemoteLayer;
  readonly bytes: Buffer;
  readonly peer: Peer;
}

/** One layer with so many cells of 1 MiB, and a cache with memory for `memory` bytes. */
async function cacheBehindPeer(t: Test, cells: number, memory: number): Promise<CacheBehindPeer> {
  const { layers } = makeChain(t, { unit: MiB, layers: ['A'.repeat(cells)] });
  const bytes = readFileSync(layers[0] ?? '');
  const { store, peer } = await storeBehindPeer(t, { 'layer.qcow2': bytes });
  const layerPlan = { checkpoint: 'cp-0', type: 'full' as const, object: 'layer.qcow2' };
  const disk = { name: 'disk', target: '/nowhere', layers: [layerPlan] as const };
  const { chains } = await checkLayers(store, [disk], { signal });
  const checked = chains[0]?.layers[0];
  if (checked === undefined) throw new Error('the layer is whole');
  const ending = new AbortController();
  const cache = new BlockCache({ arena: new Arena(memory), slots: new Slots(4), signal: ending.signal });
  t.teardown(async () => {
    ending.abort();
    await cache.ended();
  });
  return { cache, layer: new RemoteLayer({ store, checked, index: 0, onFetched: () => {} }), bytes, peer };
}

function textOf({ chunks, release }: ExportData): Buffer {
  const bytes = Buffer.concat(chunks);
  release?.();
  return bytes;
}

test('fetches at a time are bounded, whether there is memory for them or not', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', ...RGW_TOOLS)) return;
  for (const memory of [64 * MiB, 2 * MiB]) {
    const { cache, layer, bytes, peer } = await cacheBehindPeer(t, 30, memory);
    peer.plan = () => ({ kind: 'delay', ms: 300 });
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, peer.connections);
    }, 10);
    const offsets = Array.from({ length: 60 }, (_, index) => index * 512 * KiB);
    const reads = offsets.map(async (offset) => {
      const got = textOf(await cache.begin(layer, offset, offset + 1000, signal).data);
      t.ok(got.equals(bytes.subarray(offset, offset + 1000)), `${offset}`);
    });
    await Promise.all(reads);
    clearInterval(watch);
    // The check of the layer has kept a few of the SDK's own.
    t.ok(most >= 16 && most <= 40, `${most} connections`);
  }
});

test('a reader that leaves while it waits for its turn', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', ...RGW_TOOLS)) return;
  const { cache, layer, bytes, peer } = await cacheBehindPeer(t, 30, 64 * MiB);
  peer.plan = () => ({ kind: 'delay', ms: 300 });
  const stop = new AbortController();
  const reads = Array.from({ length: 58 }, (_, index) => {
    const offset = index * 512 * KiB;
    return Promise.resolve(cache.begin(layer, offset, offset + 10, index < 40 ? signal : stop.signal).data);
  });
  const reason = new Error('the client went away');
  setImmediate(() => stop.abort(reason));
  for (const [index, outcome] of (await Promise.allSettled(reads)).entries()) {
    if (outcome.status === 'fulfilled') textOf(outcome.value);
    t.equal(outcome.status === 'fulfilled' ? signal : outcome.reason, index < 40 ? signal : reason, `${index}`);
  }
  const offset = 50 * 512 * KiB;
  t.ok(textOf(await cache.begin(layer, offset, offset + 10, signal).data).equals(bytes.subarray(offset, offset + 10)));
});

test('a layer that is replaced under its readers', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', ...RGW_TOOLS)) return;
  const { cache, layer, bytes, peer } = await cacheBehindPeer(t, 2, 4 * MiB);
  const first = 1024 * KiB;
  // The block's beginning comes and is read; the rest is another version's.
  peer.plan = ({ range }) =>
    range?.first === first
      ? { kind: 'cut', after: 100_000 }
      : { kind: 'status', status: 412, code: 'PreconditionFailed' };
  const got = textOf(await cache.begin(layer, first, first + 50_000, signal).data);
  t.ok(got.equals(bytes.subarray(first, first + 50_000)));
  while (peer.requests.at(-1)?.fault?.kind !== 'status') await new Promise((resolve) => setImmediate(resolve));
  peer.plan = () => undefined;
  const refused = async (): Promise<void> => {
    for (;;) {
      textOf(await cache.begin(layer, first, first + 10, signal).data);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await rejectsWith(t, 'OBJECT_CHANGED', refused, 'the next reader is told');
});
