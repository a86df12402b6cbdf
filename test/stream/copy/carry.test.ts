// The copy engine on a small chain: what it hands to its destination, and what is under way when it ends.
import { readFileSync } from 'node:fs';
import { type Test, test } from 'tap';
import type { Destination, Prepared } from '../../../src/chain/destination.ts';
import { carry, pieceSizeOf } from '../../../src/stream/copy/carry.ts';
import { SectionChecksums } from '../../../src/stream/copy/section-checksums.ts';
import { type ByteRange, KiB, MiB } from '../../../src/units.ts';
import { requires } from '../../helpers/requires.ts';
import { checkedChain, withChain } from '../../helpers/served-chain.ts';

const { signal: never } = new AbortController();

interface Setting {
  readonly destination: Destination;
  readonly witness?: SectionChecksums;
  readonly onDone?: (count: number) => void;
  readonly writes?: number;
  readonly signal?: AbortSignal;
  /** In the place of every layer's own. */
  readonly fetch?: (fetch: () => Promise<void>) => Promise<void>;
}

/** 4 MiB in two layers, with zeros that are stored, zeros that are not, and a disk that grew by three sectors. */
async function carryChain(
  t: Test,
  { destination, witness, onDone, writes = 4, signal = never, fetch }: Setting,
): Promise<{ truth: Buffer }> {
  const base = `${'A'.repeat(20)}0000${'BC'.repeat(10)}`;
  const grown = { cells: `--x${'-'.repeat(50)}${'y'.repeat(8)}`, size: 4 * MiB + 3 * 512 };
  const checked = await checkedChain(t, { size: 4 * MiB, layers: [base, grown] });
  await withChain(t, checked, async (served) => {
    if (fetch !== undefined) {
      for (const layer of served.layers) {
        const own = layer.fetch.bind(layer);
        layer.fetch = (...range) => fetch(() => own(...range));
      }
    }
    await carry({
      ...served,
      size: checked.chain.virtualSize,
      concurrency: 4,
      window: 16 * MiB,
      writes,
      destination,
      ...(witness === undefined ? {} : { witness }),
      ...(onDone === undefined ? {} : { onDone }),
      signal: AbortSignal.any([served.signal, signal]),
    });
  });
  return { truth: readFileSync(checked.made.truth) };
}

/** A disk in memory, full of a byte that nothing wrote. */
class MemoryDisk implements Destination {
  readonly unit = 4 * KiB;
  readonly bytes = Buffer.alloc(5 * MiB, 0xee);
  readonly zeroed: ByteRange[] = [];
  readonly #prepared: Prepared;

  constructor(prepared: Prepared) {
    this.#prepared = prepared;
    if (prepared.readsZero) this.bytes.fill(0);
  }

  async prepare(): Promise<Prepared> {
    return this.#prepared;
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    if (offset % this.unit !== 0 || bytes.byteOffset % this.unit !== 0) throw new RangeError('not aligned');
    await new Promise((resolve) => setImmediate(resolve));
    this.bytes.set(bytes, offset);
  }

  async zero({ offset, length }: ByteRange): Promise<void> {
    this.bytes.fill(0, offset, offset + length);
    this.zeroed.push({ offset, length });
  }
}

for (const readsZero of [false, true]) {
  test(`carries all of a disk to a target that ${readsZero ? 'reads as zeros' : 'holds anything'}`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const destination = new MemoryDisk({ readsZero });
    const size = 4 * MiB + 3 * 512;
    const witness = new SectionChecksums({ offset: 0, length: size });
    let done = 0;
    const onDone = (count: number): void => {
      done += count;
    };
    const { truth } = await carryChain(t, { destination, witness, onDone });
    t.equal(truth.length, size);
    t.equal(Buffer.compare(destination.bytes.subarray(0, size), truth), 0, 'the disk');
    t.equal(destination.bytes.readUInt8(size + 4 * KiB), readsZero ? 0 : 0xee, 'and nothing behind it');
    t.equal(done, size, 'every byte is counted once');
    t.equal([...witness.inOrder()].length, 1, 'every byte was seen once');
    if (readsZero) t.strictSame(destination.zeroed, [], 'nothing is zeroed that reads as zeros');
  });
}

test('what was fetched waits until the destination is prepared', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const disk = new MemoryDisk({ readsZero: true });
  const prepared = Promise.withResolvers<void>();
  const fetched = Promise.withResolvers<void>();
  let writes = 0;
  const destination: Destination = {
    unit: disk.unit,
    prepare: async () => {
      await prepared.promise;
      return await disk.prepare();
    },
    zero: (range) => disk.zero(range),
    write: (bytes, offset) => {
      writes += 1;
      return disk.write(bytes, offset);
    },
  };
  const fetch: Setting['fetch'] = async (own) => {
    await own();
    fetched.resolve();
  };
  const carrying = carryChain(t, { destination, fetch });
  await fetched.promise;
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(writes, 0, 'nothing is written yet');
  prepared.resolve();
  const { truth } = await carrying;
  t.equal(Buffer.compare(disk.bytes.subarray(0, truth.length), truth), 0, 'the disk');
});

test('a source that fails while the destination is prepared ends that first', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const disk = new MemoryDisk({ readsZero: true });
  let isPrepared = false;
  const destination: Destination = {
    unit: disk.unit,
    prepare: async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await new Promise((resolve) => setImmediate(resolve));
      isPrepared = true;
      return await disk.prepare();
    },
    zero: (range) => disk.zero(range),
    write: () => Promise.reject(new Error('written')),
  };
  const fetch = (): Promise<void> => Promise.reject(new Error('the source'));
  await t.rejects(carryChain(t, { destination, fetch }), { message: 'the source' });
  t.ok(isPrepared, 'nothing is under way any more');
});

test('a destination that cannot be prepared ends it', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const disk = new MemoryDisk({ readsZero: true });
  const destination: Destination = {
    unit: disk.unit,
    prepare: () => Promise.reject(new Error('zeroing failed')),
    zero: (range) => disk.zero(range),
    write: () => Promise.reject(new Error('written')),
  };
  await t.rejects(carryChain(t, { destination }), { message: 'zeroing failed' });
});

test('a failure waits for the writes under way, and lets no other start', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const disk = new MemoryDisk({ readsZero: true });
  const release = Promise.withResolvers<void>();
  const allStarted = Promise.withResolvers<void>();
  let started = 0;
  let settled = 0;
  let isOver = false;
  const destination: Destination = {
    unit: disk.unit,
    prepare: () => disk.prepare(),
    zero: (range) => disk.zero(range),
    write: async () => {
      started += 1;
      if (started === 4) allStarted.resolve();
      await allStarted.promise;
      if (started === 4 && settled === 0) {
        settled += 1;
        throw new Error('the first');
      }
      await release.promise;
      settled += 1;
    },
  };
  const carrying = carryChain(t, { destination }).finally(() => {
    isOver = true;
  });
  carrying.catch(() => {});
  await allStarted.promise;
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(isOver, 'three writes are under way');
  release.resolve();
  await t.rejects(carrying, { message: 'the first' });
  t.equal(started, 4);
  t.equal(settled, 4);
});

test('pieces are as large as the memory allows for so many at a time', async (t) => {
  t.equal(pieceSizeOf({ window: 96 * MiB, concurrency: 16 }), 4 * MiB);
  t.equal(pieceSizeOf({ window: 96 * MiB, concurrency: 64 }), MiB);
  t.equal(pieceSizeOf({ window: 16 * MiB, concurrency: 16 }) % (64 * KiB), 0);
  t.equal(pieceSizeOf({ window: 16 * MiB, concurrency: 1000 }), 64 * KiB, 'then fewer are under way');
});
