// Comparing what is on a device, and zeroing ranges of it.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { compare } from '../../src/qemu/compare.ts';
import { fileNode, loneLayer, nbdNode, rawNode, windowNode } from '../../src/qemu/graph.ts';
import { zeroRange } from '../../src/qemu/zero.ts';
import { KiB, MiB } from '../../src/units.ts';
import { makeChain } from '../helpers/chain.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { nbdkit } from '../helpers/nbdkit.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { WITHOUT_DIRECT_TOOLS, withoutDirect } from '../helpers/without-direct.ts';

const { signal } = new AbortController();
const DEVICE = { device: true, cache: 'none', fast: true } as const;

test('says where the first sector that differs is, counted in the window', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['ABCD'] });
  const a = loneLayer(fileNode(chain.layers[0] ?? ''));
  const path = join(chain.dir, 'device.raw');
  const disk = readFileSync(chain.truth);
  writeFileSync(path, disk);
  const b = rawNode(fileNode(path));
  t.strictSame(await compare({ a, b, name: 'the target', cache: 'none', signal }), { identical: true });
  disk[128 * KiB + 700] = 1;
  writeFileSync(path, disk);
  t.strictSame(await compare({ a, b, name: 'the target', cache: 'none', signal }), {
    identical: false,
    offset: 128 * KiB + 512,
  });
  const window = { offset: 64 * KiB, size: 128 * KiB };
  t.strictSame(
    await compare({
      a: windowNode(a, window),
      b: windowNode(b, window),
      name: 'the target',
      cache: 'writeback',
      signal,
    }),
    {
      identical: false,
      offset: 64 * KiB + 512,
    },
  );
  const before = { offset: 0, size: 128 * KiB };
  t.strictSame(
    await compare({ a: windowNode(a, before), b: windowNode(b, before), name: 'the target', cache: 'none', signal }),
    {
      identical: true,
    },
  );
});

test('zeros that are written and zeros that are not are the same', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['A0-'] });
  const b = rawNode(fileNode(chain.truth));
  t.strictSame(
    await compare({ a: loneLayer(fileNode(chain.layers[0] ?? '')), b, name: 'the target', cache: 'none', signal }),
    {
      identical: true,
    },
  );
});

test('a comparison that cannot be made is no mismatch, and says which end it was', async (t) => {
  if (!requires(t, 'qemu-img', 'nbdkit')) return;
  const socket = nbdkit(t, '--filter=error', 'pattern', '1M', 'error-pread=EIO', 'error-pread-rate=100%');
  const broken = rawNode(nbdNode(socket, ''));
  const file = join(tempFolder(t), 'b.raw');
  writeFileSync(file, Buffer.alloc(MiB, 1));
  const sound = rawNode(fileNode(file));
  const options = { name: '/dev/x', cache: 'writeback', signal } as const;
  await t.rejects(compare({ ...options, a: broken, b: sound }), {
    code: 'IMAGE_CORRUPT',
    message: /^qemu-img cannot read the chain to compare \/dev\/x with it: .*Input\/output error/,
  });
  await t.rejects(compare({ ...options, a: sound, b: broken }), {
    code: 'TARGET_WRITE_FAILED',
    message: /^\/dev\/x cannot be read back: .*Input\/output error/,
  });
  const missing = rawNode(fileNode(`${file}.none`));
  await t.rejects(compare({ ...options, a: sound, b: missing }), { code: 'TOOL_FAILED' });
});

test('zeroes a range of a device, and nothing else', async (t) => {
  if (!requires(t, 'qemu-io', 'root', 'losetup')) return;
  const device = loopDevice(t, { size: 4 * MiB, fill: 0xff });
  const done: number[] = [];
  const onProgress = (bytes: number) => done.push(bytes);
  await zeroRange({ ...DEVICE, path: device.path, offset: MiB + 512, length: 2 * MiB, onProgress, signal });
  const expected = Buffer.alloc(4 * MiB, 0xff).fill(0, MiB + 512, 3 * MiB + 512);
  t.equal(readFileSync(device.path).equals(expected), true);
  t.strictSame(done, [2 * MiB]);
});

for (const [fast, step] of [
  [true, 1024 * MiB],
  [false, 64 * MiB],
] as const) {
  test(`zeroes a file in steps of ${step / MiB} MiB when that is ${fast ? 'fast' : 'slow'}`, async (t) => {
    if (!requires(t, 'qemu-io')) return;
    const path = join(tempFolder(t), 'large.raw');
    const length = 2.5 * step;
    writeFileSync(path, 'x');
    truncateSync(path, length);
    const done: number[] = [];
    const onProgress = (bytes: number) => done.push(bytes);
    await zeroRange({ path, device: false, offset: 0, length, cache: 'none', fast, onProgress, signal });
    t.strictSame(done, [step, 2 * step, length]);
  });
}

test('zeroes a file where O_DIRECT is refused', async (t) => {
  if (!requires(t, 'qemu-io', ...WITHOUT_DIRECT_TOOLS)) return;
  const path = join(withoutDirect(t), 'tail.raw');
  writeFileSync(path, Buffer.alloc(MiB, 1));
  const options = { path, device: false, offset: 4 * KiB, length: MiB - 4 * KiB, fast: true, signal };
  await t.rejects(zeroRange({ ...options, cache: 'none' }), { message: /O_DIRECT/ });
  await zeroRange({ ...options, cache: 'writeback' });
  t.equal(readFileSync(path).equals(Buffer.alloc(MiB).fill(1, 0, 4 * KiB)), true);
});

test('says where zeroing failed', async (t) => {
  if (!requires(t, 'qemu-io', 'root', 'losetup')) return;
  const device = loopDevice(t, { size: MiB });
  await t.rejects(zeroRange({ ...DEVICE, path: device.path, offset: MiB, length: MiB, signal }), {
    code: 'TARGET_WRITE_FAILED',
    message: /zeroing \/dev\/loop\d+ at offset 1048576 failed: /,
  });
});
