// What a layer stores although it is all zeros, most of a first full backup, takes no space in scratch. What an earlier run left in
// the file never shows in its place.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { openJournal } from '../../src/scratch/journal.ts';
import { downloadChain } from '../../src/staged/download.ts';
import { KiB, MiB } from '../../src/units.ts';
import { requires } from '../helpers/requires.ts';
import { checkedChain } from '../helpers/served-chain.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();

/** Stores zeros as data in 56 of 64 units. */
const DENSE = { layers: [`AB${'\0'.repeat(40)}C${'\0'.repeat(16)}DEFGH`] };

interface Staged {
  /** Of the object. */
  readonly bytes: Buffer;
  readonly path: string;
  download(partSize: number): Promise<void>;
}

async function staged(t: Test): Promise<Staged> {
  const { made, store, chain } = await checkedChain(t, DENSE);
  const folder = join(tempFolder(t), '0');
  mkdirSync(folder);
  const download = async (partSize: number): Promise<void> => {
    const journal = await openJournal(join(folder, 'journal'));
    try {
      const options = { store, chain, folder, journal, concurrency: 4, partSize, signal };
      await downloadChain({ ...options, onBytes: () => {}, onFetched: () => {} });
    } finally {
      await journal.close();
    }
  };
  return { bytes: readFileSync(made.layers[0] ?? ''), path: join(folder, '00.qcow2'), download };
}

test('blocks of zeros are holes', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  for (const partSize of [100 * KiB, MiB, 16 * MiB]) {
    const { bytes, path, download } = await staged(t);
    await download(partSize);
    t.ok(readFileSync(path).equals(bytes), `parts of ${partSize}: the object's bytes`);
    const { size, blocks } = statSync(path);
    t.ok(blocks * 512 < size / 3, `${blocks * 512} bytes for ${size}`);
  }
});

test('in a file that holds other bytes, zeros are written', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  await t.test('nothing of it is believed', async (t) => {
    const { bytes, path, download } = await staged(t);
    writeFileSync(path, Buffer.alloc(bytes.length + MiB, 0xee));
    await download(MiB);
    t.ok(readFileSync(path).equals(bytes));
  });
  await t.test('some of it is believed', async (t) => {
    const { bytes, path, download } = await staged(t);
    await download(128 * KiB);
    writeFileSync(path, Buffer.concat([bytes.subarray(0, 256 * KiB), Buffer.alloc(bytes.length - 256 * KiB, 0xee)]));
    await download(128 * KiB);
    t.ok(readFileSync(path).equals(bytes));
  });
});
