// Devices that fail, file systems that fill up, objects that change, bytes that are not what they should be: each is
// told with its code, and nothing that could boot is left behind.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { KiB, MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  planFor,
  truthOf,
  uploadBucket,
} from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS, badDevice } from '../helpers/bad-device.ts';
import { isFilled } from '../helpers/filled.ts';
import { gateAfterZeroing, gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { type PeerPlan, startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { SMALL_DISK_TOOLS, smallDisk } from '../helpers/small-disk.ts';
import { headOf } from '../helpers/strike.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const SIZE = 16 * MiB;
const BACKUP = 'backup-003';

/** In the middle of the disk each step writes to one MiB, and discards another. */
async function backupOf(t: Test): Promise<BackupForTest> {
  const changes = { bytes: MiB, discard: MiB, pattern: 'runs', region: [2 * MiB, SIZE - 2 * MiB] } as const;
  return await madeBackup(t, { disks: [{ name: 'rootdisk', size: SIZE, changes }], checkpoints: 3 });
}

const truth = (made: BackupForTest): string => truthOf(made, BACKUP, 'rootdisk');

/** Writes behind the back of everybody. */
function scribble(file: string, offset: number, bytes: Uint8Array): void {
  const handle = openSync(file, 'r+');
  writeSync(handle, bytes, 0, bytes.length, offset);
  closeSync(handle);
}

function fill(folder: string): string {
  const ballast = join(folder, 'ballast');
  const { bavail, bsize } = statfsSync(folder);
  try {
    writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 16 * KiB), 1));
  } catch (error) {
    // Where free space is in many pieces, the list of them takes up some, too: it is full all the same.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
  return ballast;
}

test('what is wrong on the target after convert is found by --verify compare, and gets no edges', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup', 'mkfifo')) return;
  const made = await backupOf(t);
  const places = visiblePlaces(t, made);
  for (const strategy of ['staged', 'staged-raw', 'stream']) {
    for (const [name, { at, bytes }] of Object.entries({
      'a sector that the tip holds, flipped': { at: places.tip, bytes: Buffer.alloc(512, 0xee) },
      'data that only the base holds, missing': { at: places.base, bytes: Buffer.alloc(64 * KiB) },
      'data where the disk is empty': { at: places.hole, bytes: Buffer.alloc(512, 0xee) },
    })) {
      await t.test(`${strategy}: ${name}`, async (t) => {
        const device = loopDevice(t, { size: SIZE });
        const plan = await planFor(made, BACKUP, { rootdisk: device.path });
        // A stream reads back by itself, once everything is written.
        const gate = strategy === 'stream' ? gateAfterZeroing(t) : gateBefore(t, '^compare');
        const env = { ...gate.env, XDG_RUNTIME_DIR: tempFolder(t) };
        const run = watchRestore(t, plan, ['--strategy', strategy, '--verify', 'compare'], { env });
        await gate.reachedBefore(run.end);
        scribble(device.file, at, bytes);
        gate.open();
        const { exitCode, document } = await run.end;
        t.equal(exitCode, 8);
        t.match(document, {
          result: 'failed',
          error: { code: 'VERIFY_MISMATCH' },
          pvcs: [{ state: 'failed', verified: false }],
        });
        t.match(document?.error?.message, new RegExp(device.path));
        const content = readFileSync(device.file);
        t.ok(isFilled(content.subarray(0, MiB)), 'the first MiB was never written, the claim is wiped');
        t.ok(isFilled(content.subarray(-MiB)), 'nor was the last');
      });
    }
  }
});

test('what is wrong in the raw image is found by --verify compare, which asks the chain', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup', 'mkfifo')) return;
  const made = await backupOf(t);
  const { tip } = visiblePlaces(t, made);
  const disk = async (t: Test, at: number) => {
    const device = loopDevice(t, { size: SIZE });
    const scratch = tempFolder(t);
    const plan = await planFor(made, BACKUP, { rootdisk: device.path }, { scratch });
    const gate = gateBefore(t, '^convert.*mask');
    const run = watchRestore(t, plan, ['--strategy', 'staged-raw', '--verify', 'compare'], { env: gate.env });
    await gate.reachedBefore(run.end);
    const [raw = ''] = readdirSync(scratch, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /disk\.raw$/.test(name),
    );
    scribble(join(scratch, raw), at, Buffer.alloc(512, 0xee));
    gate.open();
    return { device, end: await run.end };
  };
  const body = await disk(t, tip);
  t.equal(body.end.exitCode, 8);
  t.equal(body.end.document?.error?.code, 'VERIFY_MISMATCH');
  t.equal(headOf(body.device), 'blank');
  const edge = await disk(t, 512);
  t.equal(edge.end.exitCode, 0, edge.end.document?.error?.message ?? 'the edges are taken from the chain');
  t.equal(await difference(edge.device.file, truth(made)), undefined);
});

const mapSchema = z.array(z.object({ start: z.number(), length: z.number(), depth: z.number(), data: z.boolean() }));

/** Offsets of whole clusters beyond the edges, by the layer that shows there. */
function visiblePlaces(
  t: Test,
  made: BackupForTest,
): { readonly tip: number; readonly base: number; readonly hole: number } {
  const folder = tempFolder(t);
  const names = made.checkpoints.map(({ layers }, index) => {
    execFileSync('cp', [layers[0]?.path ?? '', join(folder, `${index}`)]);
    if (index > 0)
      execFileSync('qemu-img', [
        'rebase',
        '-u',
        '-f',
        'qcow2',
        '-F',
        'qcow2',
        '-b',
        `${index - 1}`,
        join(folder, `${index}`),
      ]);
    return join(folder, `${index}`);
  });
  const text = execFileSync('qemu-img', ['map', '--output=json', names.at(-1) ?? ''], { encoding: 'utf8' });
  const map = mapSchema
    .parse(JSON.parse(text))
    .filter(({ start, length }) => start >= MiB && start + length <= SIZE - MiB);
  const disk = readFileSync(truth(made));
  const find = (what: string, fits: (run: (typeof map)[number]) => boolean): number => {
    for (const { start, length, data } of map.filter(fits)) {
      for (let at = start; at + 64 * KiB <= start + length; at += 64 * KiB) {
        // Blanks of a dense full are data too.
        if (!isFilled(disk.subarray(at, at + 64 * KiB)) === data) return at;
      }
    }
    throw new Error(`the chain shows no ${what}`);
  };
  return {
    tip: find('tip', ({ depth, data }) => data && depth === 0),
    base: find('base', ({ depth, data }) => data && depth === names.length - 1),
    hole: find('hole', ({ data }) => !data),
  };
}

test('a device that fails', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...BAD_DEVICE_TOOLS)) return;
  const made = await backupOf(t);
  for (const [name, at, errno, code] of [
    ['at the claim', 0, 5, 'TARGET_WRITE_FAILED'],
    ['in the first MiB', 512 * KiB, 5, 'TARGET_WRITE_FAILED'],
    ['in the last MiB', SIZE - 512, 5, 'TARGET_WRITE_FAILED'],
    ['thin and full', visiblePlaces(t, made).base, 28, 'TARGET_FULL'],
    ['in the body', visiblePlaces(t, made).base, 5, 'TARGET_WRITE_FAILED'],
  ] as const) {
    await t.test(name, async (t) => {
      const device = await badDevice(t, { size: SIZE, fails: { on: 'write', at, errno } });
      const plan = await planFor(made, BACKUP, { rootdisk: device.path });
      const run = await runRestore(plan);
      t.equal(run.document.error?.code, code, run.document.error?.message ?? 'no error');
      t.equal(run.exitCode, 6);
      t.match(run.document.error?.message, device.path);
      t.equal(headOf(device), 'blank');
    });
  }
  await t.test('to read', async (t) => {
    const device = await badDevice(t, { size: SIZE, fails: { on: 'read', at: 4096 } });
    const plan = await planFor(made, BACKUP, { rootdisk: device.path });
    const run = await runRestore(plan);
    t.equal(run.exitCode, 6, run.document.error?.message ?? 'no error');
  });
});

test('a flush that fails is a failed restore, whichever it is', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...BAD_DEVICE_TOOLS)) return;
  const made = await backupOf(t);
  let failed = 0;
  for (let nth = 1; nth <= 20; nth += 1) {
    const device = await badDevice(t, { size: SIZE, fails: { on: 'flush', nth } });
    const plan = await planFor(made, BACKUP, { rootdisk: device.path });
    const run = await runRestore(plan);
    if (run.exitCode === 0) {
      t.equal(await difference(device.file, truth(made)), undefined, `the ${nth}th never came`);
      break;
    }
    failed += 1;
    t.equal(run.document.error?.code, 'TARGET_WRITE_FAILED', `flush ${nth}: ${run.document.error?.message}`);
    t.equal(headOf(device), 'blank', `flush ${nth}: nothing can boot`);
  }
  t.ok(failed >= 4, `the claim, the body, the edges and the head are flushed (${failed} flushes)`);
});

test('a device that dies while it is written', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...BAD_DEVICE_TOOLS, 'mkfifo')) return;
  const made = await backupOf(t);
  const device = await badDevice(t, { size: SIZE });
  const plan = await planFor(made, BACKUP, { rootdisk: device.path });
  const gate = gateBefore(t, '^convert');
  const run = watchRestore(t, plan, [], { env: gate.env });
  await gate.reachedBefore(run.end);
  await device.die();
  gate.open();
  const { exitCode, document, stderr } = await run.end;
  t.equal(exitCode, 6, document?.error?.message ?? 'no error');
  t.match(stderr, /the claim block on .* could not be removed/);
  t.equal(headOf(device), 'claim', 'what could not be wiped is a claim');
});

test('scratch that is full', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...SMALL_DISK_TOOLS, 'mkfifo')) return;
  const made = await backupOf(t);
  const sizes = made.checkpoints.reduce((sum, { layers }) => sum + (layers[0]?.size ?? 0), 0);
  await t.test('from the beginning: refused with both numbers', async (t) => {
    const disk = smallDisk(t, { size: 4 * MiB });
    const target = join(tempFolder(t), 'disk.raw');
    const run = await runRestore(await planFor(made, BACKUP, { rootdisk: target }, { scratch: join(disk, 'scratch') }));
    t.equal(run.document.error?.code, 'SCRATCH_FULL');
    t.equal(run.exitCode, 5);
    t.match(
      run.document.error?.message,
      new RegExp(`PVC rootdisk needs .*\\(${sizes} bytes\\), .*\\(\\d+ bytes\\) available$`),
    );
    t.match(run.document.error?.hint, /--strategy stream/, 'which needs no scratch');
    t.strictSame(readdirSync(disk), ['lost+found'], 'nothing is left there');
  });
  await t.test('to the last byte: refused with both numbers too', async (t) => {
    const disk = smallDisk(t, { size: 4 * MiB });
    for (const piece of [64 * KiB, 1]) {
      try {
        for (;;) appendFileSync(join(disk, 'ballast'), Buffer.alloc(piece, 1));
      } catch {
        // Full: that is what is wanted.
      }
    }
    const target = join(tempFolder(t), 'disk.raw');
    const run = await runRestore(await planFor(made, BACKUP, { rootdisk: target }, { scratch: join(disk, 'scratch') }));
    t.equal(run.exitCode, 5);
    t.match(run.document.problems, [
      { code: 'SCRATCH_FULL' },
      // A directory that could not be made complete may have given a few blocks back.
      { message: new RegExp(`\\(${sizes} bytes\\), [\\d.]+ (?:B|KiB) \\(\\d+ bytes\\) available$`) },
    ]);
    t.strictSame(readdirSync(disk), ['ballast', 'lost+found'], 'nothing is left there');
  });
  for (const [pattern, strategy] of [
    ['^rebase', 'staged'],
    ['^convert.*disk\\.raw', 'staged-raw'],
    ['^convert.*edge-[0-9]+\\.raw', 'staged'],
  ] as const) {
    await t.test(`by somebody else, before ${pattern}`, async (t) => {
      const disk = smallDisk(t, { size: sizes * 2 + SIZE * 2 });
      const device = loopDevice(t, { size: SIZE });
      const scratch = join(disk, 'scratch');
      const plan = await planFor(made, BACKUP, { rootdisk: device.path }, { scratch });
      const gate = gateBefore(t, pattern);
      const run = watchRestore(t, plan, ['--strategy', strategy], { env: gate.env });
      await gate.reachedBefore(run.end);
      const ballast = fill(disk);
      writeFileSync(join(disk, 'more'), '');
      try {
        writeFileSync(join(disk, 'more'), Buffer.alloc(MiB));
      } catch {
        // Full to the last block: that is what is wanted.
      }
      gate.open();
      const { exitCode, document } = await run.end;
      if (pattern === '^rebase' && exitCode === 0) return;
      t.equal(document?.error?.code, 'SCRATCH_FULL', document?.error?.message ?? 'no error');
      t.equal(exitCode, 5);
      const wanted = Math.ceil((strategy === 'staged' ? sizes : sizes + SIZE) * 1.15);
      const numbers = `at least .*\\(${sizes} bytes\\), up to .*\\(${wanted} bytes\\) needed; .* available at the check, .* now$`;
      t.match(document?.error?.message, new RegExp(numbers));
      t.match(document?.problems, [{ pvc: 'rootdisk', message: document?.error?.message }]);
      t.equal(headOf(device), 'blank');
      t.not(readdirSync(scratch).length, 0, 'what was fetched is kept');
      rmSync(ballast);
      rmSync(join(disk, 'more'));
      const again = await runRestore(plan, ['--strategy', strategy]);
      t.equal(again.exitCode, 0, again.document.error?.message ?? 'ends well');
      t.equal(again.document.pvcs[0]?.bytesFetched, 0);
      t.equal(await difference(device.file, truth(made)), undefined);
    });
  }
});

test('a raw file whose file system fills up', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...SMALL_DISK_TOOLS, 'mkfifo')) return;
  const made = await backupOf(t);
  await t.test('is warned of beforehand, with both numbers', async (t) => {
    const disk = smallDisk(t, { size: 3 * MiB });
    const run = await runRestore(await planFor(made, BACKUP, { rootdisk: join(disk, 'disk.raw') }));
    t.match(
      run.stderr,
      /warning: rootdisk: target .*: the file system may become full: up to .* needed, .* available\n/,
    );
    t.equal(run.document.error?.code, 'TARGET_FULL');
    t.match(
      run.document.error?.message,
      /: up to .*\(\d+ bytes\) needed; .*\(\d+ bytes\) available at the check, .* now$/,
    );
    t.strictSame(readdirSync(disk), ['lost+found']);
  });
  await t.test('which holds its data, if not its size, is none', async (t) => {
    // Two MiB of the disk are discarded, and the file system takes one.
    const disk = smallDisk(t, { size: SIZE });
    const target = join(disk, 'disk.raw');
    const run = await runRestore(await planFor(made, BACKUP, { rootdisk: target }));
    t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
    t.notMatch(run.stderr, /warning/);
    t.equal(await difference(target, truth(made)), undefined);
  });
  await t.test('later anyway', async (t) => {
    const disk = smallDisk(t, { size: 32 * MiB });
    const plan = await planFor(made, BACKUP, { rootdisk: join(disk, 'disk.raw') });
    const gate = gateBefore(t, '^convert');
    const run = watchRestore(t, plan, [], { env: gate.env });
    await gate.reachedBefore(run.end);
    fill(disk);
    gate.open();
    const { exitCode, document } = await run.end;
    t.equal(document?.error?.code, 'TARGET_FULL', document?.error?.message ?? 'no error');
    t.equal(exitCode, 6);
    t.strictSame(readdirSync(disk).sort(), ['ballast', 'lost+found'], 'its beginning is removed');
  });
});

test('what the source says of its objects', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, 'root', 'losetup')) return;
  const made = await backupOf(t);
  const rgw = await startRgw(t);
  const bucket = await uploadBucket(rgw, made);
  const attempt = async (t: Test, plan: PeerPlan, { sha256 = false, args = [] as string[] } = {}) => {
    const peer = await startPeer({ upstream: rgw.endpoint, plan }, t);
    const device = loopDevice(t, { size: SIZE });
    const scratch = join(tempFolder(t), 'scratch');
    const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
    const path = await planFor(made, BACKUP, { rootdisk: device.path }, { s3, scratch, sha256 });
    const env = { ...rgw.env, XDG_RUNTIME_DIR: tempFolder(t) };
    const run = await runRestore(path, ['--part-size', '1Mi', ...args], env);
    return { run, device, scratch };
  };
  const summed = (algorithm: 'crc32' | 'sha256', spoil: number): PeerPlan => {
    const sums = new Map(
      made.checkpoints.map(({ layers }) => {
        const bytes = readFileSync(layers[0]?.path ?? '');
        const sum = algorithm === 'sha256' ? createHash('sha256').update(bytes).digest() : crc32Bytes(bytes);
        sum[0] = (sum[0] ?? 0) ^ spoil;
        return [layers[0]?.object ?? '', sum.toString('base64')] as const;
      }),
    );
    return ({ method, path }) => {
      const [, sum] = [...sums].find(([object]) => path.endsWith(object)) ?? [];
      if (method !== 'HEAD' || sum === undefined) return undefined;
      return { kind: 'headers', add: { [`x-amz-checksum-${algorithm}`]: sum, 'x-amz-checksum-type': 'FULL_OBJECT' } };
    };
  };
  for (const algorithm of ['crc32', 'sha256'] as const) {
    await t.test(`its ${algorithm} is compared, and the result says so`, async (t) => {
      const { run, device } = await attempt(t, summed(algorithm, 0));
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
      for (const { checked } of run.document.pvcs[0]?.layers ?? []) {
        t.strictSame(checked, ['size', 'header', algorithm, 'image']);
      }
      t.equal(await difference(device.file, truth(made)), undefined);
    });
    await t.test(`another ${algorithm} is CHECKSUM_MISMATCH`, async (t) => {
      const { run, device, scratch } = await attempt(t, summed(algorithm, 1));
      t.equal(run.exitCode, 4);
      t.match(run.document.error, { code: 'CHECKSUM_MISMATCH', message: new RegExp(`\\.qcow2.*${algorithm}`) });
      t.equal(headOf(device), 'blank');
      t.notOk(existsSync(scratch), 'what is wrong is not kept');
    });
    await t.test(`another ${algorithm} with --no-checksums`, async (t) => {
      const { run } = await attempt(t, summed(algorithm, 1), { args: ['--no-checksums'] });
      t.equal(run.exitCode, 0);
      t.notMatch(run.document.pvcs[0]?.layers[0]?.checked, [algorithm]);
    });
  }
  await t.test('a bit that was flipped on the way is found by the sha256 of the plan', async (t) => {
    const plan: PeerPlan = ({ range, nth }) =>
      range !== undefined && range.first === MiB && nth === 1 ? { kind: 'flip' } : undefined;
    const { run, device } = await attempt(t, plan, { sha256: true });
    t.equal(run.document.error?.code, 'CHECKSUM_MISMATCH', run.document.error?.message ?? 'no error');
    t.equal(headOf(device), 'blank');
  });
  for (const strategy of ['staged', 'staged-raw', 'stream']) {
    await t.test(`an object that is replaced during the run is OBJECT_CHANGED (${strategy})`, async (t) => {
      const plan: PeerPlan = ({ range }) =>
        range !== undefined && range.last > 2 * MiB ? { kind: 'swap' } : undefined;
      const { run, device } = await attempt(t, plan, { args: ['--strategy', strategy] });
      t.equal(run.document.error?.code, 'OBJECT_CHANGED', run.document.error?.message ?? 'no error');
      t.equal(run.exitCode, 3);
      t.equal(headOf(device), 'blank');
    });
  }
});

/** Big-endian, as S3 writes it. */
function crc32Bytes(bytes: Uint8Array): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum;
}
