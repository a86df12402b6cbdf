// What convert leaves on a target: the whole disk, on dirty devices too, in windows too, and a code for each way to fail.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type ConvertOptions, convert } from '../../src/qemu/convert.ts';
import { createImage } from '../../src/qemu/create.ts';
import { chainGraph, deviceNode, fileNode, loneLayer, nbdNode, rawNode, windowNode } from '../../src/qemu/graph.ts';
import { KiB, MiB } from '../../src/units.ts';
import { type ChainShape, makeChain, type TestChain } from '../helpers/chain.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { nbdkit } from '../helpers/nbdkit.ts';
import { requires } from '../helpers/requires.ts';

const { signal } = new AbortController();
const TOOLS = ['qemu-img', 'qemu-io'];

/** 4 MiB: data and holes in both edges and between them, and a zeroed cluster over data. */
const DISK: ChainShape = {
  size: 4 * MiB,
  layers: [`A-A${'-'.repeat(13)}AB${'-'.repeat(29)}CC${'-'.repeat(13)}AA`, `--0${'-'.repeat(14)}0-D`],
};

function graphOf({ layers: [base = '', ...rest] }: TestChain): ReturnType<typeof chainGraph> {
  return chainGraph([fileNode(base), ...rest.map(fileNode)]);
}

const options = (change: Pick<ConvertOptions, 'source' | 'target'> & Partial<ConvertOptions>): ConvertOptions => ({
  cache: 'none',
  destination: { kind: 'target', name: 'the target' },
  signal,
  ...change,
});

for (const cache of ['none', 'writeback'] as const) {
  test(`overwrites all of a dirty device, cache ${cache}`, async (t) => {
    if (!requires(t, ...TOOLS, 'root', 'losetup')) return;
    const chain = makeChain(t, DISK);
    const device = loopDevice(t, { size: 4 * MiB, fill: 0xff });
    const seen: number[] = [];
    const target = rawNode(deviceNode(device.path));
    await convert(options({ source: graphOf(chain), target, cache, onProgress: (fraction) => seen.push(fraction) }));
    t.equal(readFileSync(device.path).equals(readFileSync(chain.truth)), true);
    t.equal(seen.at(-1), 1);
    t.strictSame(
      [...seen],
      [...seen].sort((a, b) => a - b),
    );
  });

  test(`body first, edges last is the same as the whole, cache ${cache}`, async (t) => {
    if (!requires(t, ...TOOLS, 'root', 'losetup')) return;
    const chain = makeChain(t, DISK);
    // A device that is larger than the disk: what lies beyond stays.
    const device = loopDevice(t, { size: 5 * MiB, fill: 0xff });
    const disk = readFileSync(chain.truth);
    const expected = Buffer.alloc(5 * MiB, 0xff);
    for (const [offset, size] of [
      [MiB, 2 * MiB],
      [3 * MiB, MiB],
      [4 * KiB, MiB - 4 * KiB],
      [0, 4 * KiB],
    ] as const) {
      const window = { offset, size };
      const target = windowNode(deviceNode(device.path), window);
      await convert(options({ source: windowNode(graphOf(chain), window), target, cache }));
      disk.copy(expected, offset, offset, offset + size);
      t.equal(readFileSync(device.path).equals(expected), true, `after ${size} bytes from ${offset}`);
    }
  });
}

test('a window need not be aligned to more than sectors', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, DISK);
  const path = join(chain.dir, 'out.raw');
  const disk = readFileSync(chain.truth);
  writeFileSync(path, Buffer.alloc(4 * MiB, 0xff));
  const window = { offset: 512, size: 4 * MiB - 1024 };
  const target = windowNode(fileNode(path), window);
  await convert(options({ source: windowNode(graphOf(chain), window), target, cache: 'writeback' }));
  const out = readFileSync(path);
  t.equal(out.subarray(512, -512).equals(disk.subarray(512, -512)), true);
  t.equal(out[511], 0xff);
  t.equal(out.at(-512), 0xff);
});

test('leaves zeros unwritten in a target that is known to be zero', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, DISK);
  const path = join(chain.dir, 'out.raw');
  writeFileSync(path, '');
  truncateSync(path, 4 * MiB);
  await convert(
    options({ source: graphOf(chain), target: rawNode(fileNode(path)), cache: 'writeback', targetIsZero: true }),
  );
  t.equal(readFileSync(path).equals(readFileSync(chain.truth)), true);
});

test('says that a target is smaller than the disk', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, DISK);
  const path = join(chain.dir, 'out.raw');
  writeFileSync(path, Buffer.alloc(MiB));
  await t.rejects(convert(options({ source: graphOf(chain), target: rawNode(fileNode(path)), cache: 'writeback' })), {
    code: 'TOOL_FAILED',
    message: /smaller/,
  });
});

for (const [error, kind, code] of [
  ['ENOSPC', 'target', 'TARGET_FULL'],
  ['ENOSPC', 'scratch', 'SCRATCH_FULL'],
  ['EIO', 'target', 'TARGET_WRITE_FAILED'],
  ['EIO', 'scratch', 'SCRATCH_UNUSABLE'],
] as const) {
  test(`${error} while writing to ${kind} is ${code}`, async (t) => {
    if (!requires(t, ...TOOLS, 'nbdkit')) return;
    const chain = makeChain(t, DISK);
    const socket = nbdkit(t, '--filter=error', 'memory', '4M', `error-pwrite=${error}`, 'error-pwrite-rate=100%');
    const target = rawNode(nbdNode(socket, ''));
    await t.rejects(convert(options({ source: graphOf(chain), target, destination: { kind, name: '/dev/x' } })), {
      code,
      message: /^\/dev\/x is full: |^writing to \/dev\/x failed: /,
    });
  });
}

test('a source that cannot be read is IMAGE_CORRUPT', async (t) => {
  if (!requires(t, ...TOOLS, 'nbdkit')) return;
  const chain = makeChain(t, DISK);
  const socket = nbdkit(t, '--filter=error', 'pattern', '4M', 'error-pread=EIO', 'error-pread-rate=100%');
  const target = rawNode(fileNode(chain.truth));
  await t.rejects(convert(options({ source: rawNode(nbdNode(socket, '')), target, cache: 'writeback' })), {
    code: 'IMAGE_CORRUPT',
    message: /cannot read the chain for the target: error while reading/,
  });
});

test('a compressed cluster that is damaged is IMAGE_CORRUPT', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, { layers: [{ cells: 'AB', compressed: true }] });
  const path = chain.layers[0] ?? '';
  const bytes = readFileSync(path);
  bytes.fill(0xff, 5 * 64 * KiB);
  writeFileSync(path, bytes);
  const target = rawNode(fileNode(chain.truth));
  await t.rejects(convert(options({ source: graphOf(chain), target, cache: 'writeback' })), { code: 'IMAGE_CORRUPT' });
});

test('an abort ends it, and writes no more', async (t: Test) => {
  if (!requires(t, ...TOOLS, 'nbdkit')) return;
  const chain = makeChain(t, DISK);
  const socket = nbdkit(t, '--filter=delay', 'memory', '4M', 'wdelay=60');
  const abort = new AbortController();
  const run = convert(
    options({
      source: graphOf(chain),
      target: rawNode(nbdNode(socket, '')),
      onProgress: () => abort.abort(new Error('enough')),
      signal: abort.signal,
    }),
  );
  await t.rejects(run, { message: 'enough' });
});

test('tables that are not written when a qcow2 image is closed', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, DISK);
  for (const event of ['l2_update', 'refblock_update_part']) {
    await t.test(event, async (t) => {
      const path = join(chain.dir, `${event}.qcow2`);
      writeFileSync(path, '');
      await createImage({ path, size: 4 * MiB, zstd: false, name: 'the target', signal });
      // After the first byte of data nothing of that kind is written any more: what is left of the tables comes at the end.
      const file = {
        driver: 'blkdebug',
        image: fileNode(path),
        'set-state': [{ event: 'write_aio', state: 1, new_state: 2 }],
        'inject-error': [{ event, state: 2, errno: 28 }],
      } as unknown as ReturnType<typeof fileNode>;
      const target = loneLayer(file);
      await t.rejects(convert(options({ source: graphOf(chain), target, cache: 'writeback', targetIsZero: true })), {
        code: 'TARGET_FULL',
        message: /No space left/,
      });
    });
  }
});
