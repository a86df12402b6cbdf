// Reads and writes of a target at the same time, past the page cache, and through it where a driver refuses that.
import { constants } from 'node:fs';
import { open, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { HeldIo } from '../../src/target/disk-io.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BAD_DEVICE_TOOLS, badDevice } from '../helpers/bad-device.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

// The language's own, which the type library has only for browsers.
declare const WebAssembly: { readonly Memory: new (options: { initial: number }) => { readonly buffer: ArrayBuffer } };

const UNIT = 4 * KiB;

/** Memory that starts at a page. */
function aligned(length: number): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(length / (64 * KiB)) }).buffer).subarray(0, length);
}

async function withIo(t: Test, path: string, work: (io: HeldIo) => Promise<void>): Promise<void> {
  const handle = await open(path, constants.O_RDWR | constants.O_DIRECT);
  const io = new HeldIo({ handle, direct: true, path, unit: UNIT });
  try {
    await work(io);
    await handle.sync();
  } finally {
    await io.close();
    await io.close();
    await handle.close();
  }
  t.pass('closed, twice');
}

test('many writes at a time, each in its place', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: 4 * MiB, fill: 0xff });
  await withIo(t, device.path, async (io) => {
    const memory = aligned(4 * MiB);
    for (let at = 0; at < 4 * MiB; at += UNIT) memory.fill((at / UNIT) % 251, at, at + UNIT);
    const places = Array.from({ length: 64 }, (_, index) => ((index * 37) % 64) * 64 * KiB);
    await Promise.all(places.map((at) => io.write(memory.subarray(at, at + 64 * KiB), at)));
    const room = aligned(4 * MiB);
    await Promise.all(places.map((at) => io.read(room.subarray(at, at + 64 * KiB), at)));
    t.equal(Buffer.compare(room, memory), 0, 'read back');
    t.equal(Buffer.compare(await readFile(device.path), memory), 0, 'and by others');
  });
});

test('closing waits for what is under way', async (t) => {
  const path = join(tempFolder(t), 'disk.raw');
  await (await open(path, 'w')).close();
  await truncate(path, 16 * MiB);
  const handle = await open(path, constants.O_RDWR | constants.O_DIRECT);
  const io = new HeldIo({ handle, direct: true, path, unit: UNIT });
  const memory = aligned(16 * MiB).fill(1);
  let written = 0;
  const writes = [0, 4, 8, 12].map(async (at) => {
    await io.write(memory.subarray(at * MiB, (at + 4) * MiB), at * MiB);
    written += 1;
  });
  await io.close();
  t.equal(written, 4);
  await handle.close();
  await Promise.all(writes);
  await t.rejects(io.write(memory.subarray(0, UNIT), 0), { code: /EBADF|ERR_OUT_OF_RANGE|TARGET_WRITE_FAILED/ });
  await io.close();
});

test('what O_DIRECT refuses goes through the page cache, to the same device', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: MiB });
  await withIo(t, device.path, async (io) => {
    const bytes = Buffer.alloc(64 * KiB + 1, 'a').subarray(1);
    await io.write(aligned(UNIT).fill(7), 512 * KiB);
    await Promise.all([io.write(bytes, 0), io.write(bytes, 128 * KiB)]);
    const room = new Uint8Array(64 * KiB + 1).subarray(1);
    await io.read(room, 128 * KiB);
    t.equal(Buffer.compare(room, bytes), 0);
  });
  const found = await readFile(device.file);
  const expected = Buffer.alloc(MiB)
    .fill('a', 0, 64 * KiB)
    .fill('a', 128 * KiB, 192 * KiB);
  expected.fill(7, 512 * KiB, 516 * KiB);
  t.equal(Buffer.compare(found, expected), 0, 'flushed through the held descriptor');
});

test('the end of a file that no unit divides', async (t) => {
  const path = join(tempFolder(t), 'disk.raw');
  await (await open(path, 'w')).close();
  await truncate(path, 5 * KiB);
  await withIo(t, path, async (io) => {
    const room = aligned(5 * KiB).fill(1);
    await io.read(room, 0);
    t.ok(room.every((byte) => byte === 0));
    await t.rejects(io.read(aligned(2 * KiB), 4 * KiB), {
      code: 'TARGET_WRITE_FAILED',
      message: /ends at offset 5120/,
    });
  });
  t.equal((await stat(path)).size, 5 * KiB);
});

test('a device that fails names the place', async (t) => {
  if (!requires(t, ...BAD_DEVICE_TOOLS)) return;
  const device = await badDevice(t, { size: 4 * MiB, fails: { on: 'write', at: 2 * MiB } });
  await withIo(t, device.path, async (io) => {
    await io.write(aligned(MiB), 0);
    await t.rejects(io.write(aligned(MiB), 2 * MiB), {
      code: 'TARGET_WRITE_FAILED',
      message: /^cannot write \/dev\/loop\d+ at offset 2097152: /,
    });
  });
});
