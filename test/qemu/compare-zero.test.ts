// Comparing what is on a device, and zeroing ranges of it.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { compare } from '../../src/qemu/compare.ts';
import { fileNode, loneLayer, nbdNode, rawNode, windowNode } from '../../src/qemu/graph.ts';
import { withZeroer, type ZeroOptions } from '../../src/qemu/zero.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BAD_DEVICE_TOOLS, badDevice } from '../helpers/bad-device.ts';
import { makeChain } from '../helpers/chain.ts';
import { withInjected } from '../helpers/injected.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { nbdkit } from '../helpers/nbdkit.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { WITHOUT_DIRECT_TOOLS, withoutDirect } from '../helpers/without-direct.ts';

const { signal } = new AbortController();

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

test('zeroes ranges of a device, and nothing else', async (t) => {
  if (!requires(t, 'qemu-io', 'root', 'losetup')) return;
  const device = loopDevice(t, { size: 4 * MiB, fill: 0xff });
  const done: number[] = [];
  await withZeroer({ path: device.path, device: true, cache: 'none', signal }, async (zeroer) => {
    t.equal(zeroer.fast, undefined, 'not known before it was measured');
    const onStep = (count: number): number => done.push(count);
    await Promise.all([
      zeroer.zero({ offset: MiB + 512, length: MiB }, onStep),
      zeroer.zero({ offset: 3 * MiB, length: 512 }, onStep),
    ]);
    t.type(zeroer.fast, 'boolean');
  });
  const expected = Buffer.alloc(4 * MiB, 0xff).fill(0, MiB + 512, 2 * MiB + 512);
  expected.fill(0, 3 * MiB, 3 * MiB + 512);
  t.equal(readFileSync(device.path).equals(expected), true);
  t.strictSame(done, [MiB, 512]);
});

/** What each step of a range of `length` bytes zeroes. */
async function stepsOf(options: Omit<ZeroOptions, 'signal'>, length: number): Promise<number[]> {
  const steps: number[] = [];
  await withZeroer({ ...options, signal }, (zeroer) =>
    zeroer.zero({ offset: 0, length }, (count) => steps.push(count)),
  );
  return steps;
}

test('a file is zeroed in large steps after a small one', async (t) => {
  if (!requires(t, 'qemu-io')) return;
  const path = join(tempFolder(t), 'large.raw');
  writeFileSync(path, 'x');
  truncateSync(path, 2048 * MiB);
  const steps = await stepsOf({ path, device: false, cache: 'none' }, 2048 * MiB);
  t.strictSame(steps, [64 * MiB, 1024 * MiB, 960 * MiB]);
});

test('a device that is slow to zero is zeroed in small steps', async (t) => {
  if (!requires(t, 'qemu-io', 'strace', 'root', 'losetup')) return;
  const { path } = loopDevice(t, { size: 160 * MiB });
  await withInjected(t, { tool: 'qemu-io', inject: 'fallocate:delay_enter=100000' }, async () => {
    const steps = await stepsOf({ path, device: true, cache: 'none' }, 160 * MiB);
    t.strictSame(steps, [64 * MiB, 64 * MiB, 32 * MiB]);
  });
});

test('zeroes a file where O_DIRECT is refused', async (t) => {
  if (!requires(t, 'qemu-io', ...WITHOUT_DIRECT_TOOLS)) return;
  const path = join(withoutDirect(t), 'tail.raw');
  writeFileSync(path, Buffer.alloc(MiB, 1));
  const zero = (cache: 'none' | 'writeback'): Promise<void> =>
    withZeroer({ path, device: false, cache, signal }, (zeroer) =>
      zeroer.zero({ offset: 4 * KiB, length: MiB - 4 * KiB }),
    );
  await t.rejects(zero('none'), { message: /O_DIRECT/ });
  await zero('writeback');
  t.equal(readFileSync(path).equals(Buffer.alloc(MiB).fill(1, 0, 4 * KiB)), true);
});

test('says where zeroing failed', async (t) => {
  if (!requires(t, 'qemu-io', 'root', 'losetup')) return;
  const device = loopDevice(t, { size: MiB });
  const zeroing = withZeroer({ path: device.path, device: true, cache: 'none', signal }, (zeroer) =>
    zeroer.zero({ offset: MiB, length: MiB }),
  );
  await t.rejects(zeroing, {
    code: 'TARGET_WRITE_FAILED',
    message: /zeroing \/dev\/loop\d+ at offset 1048576 failed: /,
  });
});

test('a cancel ends the child that zeroes, and is what it rejects with', async (t) => {
  if (!requires(t, 'qemu-io', ...BAD_DEVICE_TOOLS)) return;
  const device = await badDevice(t, { size: 512 * MiB, writesPerSecond: 64 * MiB });
  const cancel = new AbortController();
  const reason = new Error('cancelled');
  const options = { path: device.path, device: true, cache: 'none', signal: cancel.signal } as const;
  const zeroing = withZeroer(options, (zeroer) =>
    zeroer.zero({ offset: 0, length: 512 * MiB }, () => cancel.abort(reason)),
  );
  await t.rejects(zeroing, reason);
});
