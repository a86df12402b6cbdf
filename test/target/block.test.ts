// Claim, body, edges last, on real loop devices.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { parseClaim } from '../../src/target/claim.ts';
import { openTarget } from '../../src/target/open.ts';
import type { Target } from '../../src/target/target.ts';
import { MiB } from '../../src/units.ts';
import { isFilled } from '../helpers/filled.ts';
import { injecting, nodeOn } from '../helpers/injected.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;
const SIZE = 8 * MiB;
const CLAIM = { planId: 'plan', pvc: 'rootdisk', diskSize: SIZE, runId: 'run-1' };
const BEGIN = { claim: CLAIM, diskSize: SIZE, replace: false, signal };
const EXCUSE = { planId: 'plan', pvc: 'rootdisk', diskSize: SIZE };

async function opened(t: Test, path: string): Promise<Target> {
  const target = await openTarget({ path, partialTag: 'plan', signal });
  t.teardown(async () => await target.close());
  target.checkSize(SIZE);
  return target;
}

const edge = (byte: number): Uint8Array => new Uint8Array(MiB).fill(byte);

function signatureOf(device: string): string {
  execFileSync('blockdev', ['--flushbufs', device]);
  return spawnSync('blkid', ['-p', device], { encoding: 'utf8' }).stdout.trim();
}

test('a device that is held keeps others out, and qemu-img can still write it', async (t) => {
  if (!requires(t, 'root', 'losetup', 'mkfs.ext4', 'qemu-io')) return;
  const device = loopDevice(t, { size: SIZE });
  await opened(t, device.path);
  t.match(spawnSync('mkfs.ext4', ['-F', device.path], { encoding: 'utf8' }).stderr, /in use/);
  await t.rejects(openTarget({ path: device.path, partialTag: 'other', signal }), { code: 'TARGET_BUSY' });
  execFileSync('qemu-io', ['-f', 'raw', '-t', 'none', '-c', 'write -q -P 7 1M 64k', device.path]);
  t.equal(readFileSync(device.file)[MiB], 7);
});

test('a whole restore by steps', async (t) => {
  if (!requires(t, 'root', 'losetup', 'blkid', 'mkfs.ext4')) return;
  for (const sectorSize of [512, 4096]) {
    await t.test(`sectors of ${sectorSize} bytes`, async (t) => {
      const device = loopDevice(t, { size: SIZE + 2 * MiB, fill: 0xff, sectorSize });
      const target = await opened(t, device.path);
      t.equal(target.capacity, SIZE + 2 * MiB);
      await t.rejects(target.checkBlank({ force: false, ownClaim: EXCUSE }), { code: 'TARGET_NOT_BLANK' });
      t.equal(await target.checkBlank({ force: true, ownClaim: EXCUSE }), 'overwrite');
      const session = await target.begin(BEGIN);
      const claimed = readFileSync(device.file);
      t.match(parseClaim(claimed), CLAIM);
      t.ok(isFilled(claimed.subarray(4096, MiB)), 'the rest of the first MiB');
      t.ok(isFilled(claimed.subarray(SIZE - MiB, SIZE)), "the disk's last MiB");
      t.ok(isFilled(claimed.subarray(MiB, SIZE - MiB), 0xff), 'the body is not touched');
      t.ok(claimed.subarray(0, 4096).equals(session.mask?.head.subarray(0, 4096) ?? new Uint8Array()));
      t.strictSame(session.tail, { offset: SIZE, length: 2 * MiB });
      t.equal(await target.checkBlank({ force: false, ownClaim: EXCUSE }), 'claimed', 'our own claim excuses');
      for (const other of [{ planId: 'x' }, { pvc: 'x' }, { diskSize: 1 }]) {
        await t.rejects(target.checkBlank({ force: false, ownClaim: { ...EXCUSE, ...other } }), {
          code: 'TARGET_NOT_BLANK',
        });
      }
      await session.finish([edge(2), edge(1)]);
      const done = readFileSync(device.file);
      t.ok(isFilled(done.subarray(0, MiB), 1));
      t.ok(isFilled(done.subarray(SIZE - MiB, SIZE), 2));
      const { crc, zero } = await target.checksum([{ offset: 100, length: 3000 }]);
      t.notOk(zero);
      t.not(crc, 0);
    });
  }
});

test('an orderly failure wipes our claim, and nobody else’s', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: SIZE });
  const target = await opened(t, device.path);
  const session = await target.begin(BEGIN);
  t.strictSame(await session.abandon(), {});
  t.equal(await target.checkBlank({ force: false, ownClaim: undefined }), 'blank');

  const second = await target.begin(BEGIN);
  const theirs = await openTargetlessClaim(device.path);
  t.strictSame(await second.abandon(), {});
  t.ok(readFileSync(device.file).subarray(0, 4096).equals(theirs), "another's bytes stay");
  await t.rejects(second.finish([edge(2), edge(1)]), { code: 'TARGET_BUSY' });
});

/** Somebody else writes over the claim, through a descriptor of his own. */
async function openTargetlessClaim(path: string): Promise<Buffer> {
  const bytes = Buffer.alloc(4096, 'somebody else ');
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, 0);
  await file.sync();
  await file.close();
  return bytes;
}

test('what fails late leaves a device that is blank at both ends, and what is finished stays', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: SIZE });
  const target = await opened(t, device.path);
  const session = await target.begin(BEGIN);
  // The second edge has a wrong length: the first is written by then.
  await t.rejects(session.finish([edge(2), new Uint8Array(512)]), RangeError);
  t.equal(readFileSync(device.file)[SIZE - 1], 2);
  t.strictSame(await session.abandon(), {});
  t.equal(await target.checkBlank({ force: false, ownClaim: undefined }), 'blank');
  const second = await target.begin(BEGIN);
  await second.finish([edge(2), edge(1)]);
  t.strictSame(await second.abandon(), {});
  t.equal(readFileSync(device.file)[0], 1, 'a finished disk is not wiped');
});

test('a claim that cannot be wiped is told', async (t) => {
  if (!requires(t, 'root', 'losetup', 'strace')) return;
  const device = loopDevice(t, { size: SIZE });
  const module = fileURLToPath(new URL('../../src/target/open.ts', import.meta.url));
  const script = `
    const { openTarget } = await import(${JSON.stringify(module)});
    const signal = new AbortController().signal;
    const target = await openTarget({ path: ${JSON.stringify(device.path)}, partialTag: 'plan', signal });
    target.checkSize(${SIZE});
    await target.begin({ claim: ${JSON.stringify(CLAIM)}, diskSize: ${SIZE}, replace: false, signal }).catch(
      ({ code, message }) => console.log(code, message),
    );`;
  // The claim is written, and nothing after it.
  const fault = { calls: 'pwrite64', fault: 'error=EIO:when=2+', path: device.path };
  const command = injecting(fault, nodeOn(script));
  // strace counts by thread.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const { stdout, stderr } = spawnSync('strace', command, { encoding: 'utf8', env });
  t.match(
    stdout,
    /^TARGET_WRITE_FAILED cannot write .*; the claim block on \/dev\/loop\d+ could not be removed: /,
    stderr,
  );
  t.match(parseClaim(readFileSync(device.file)), CLAIM);
});

test('killed after any step, a device shows no partition table and no file system before the end', async (t) => {
  if (!requires(t, 'root', 'losetup', 'blkid', 'mkfs.ext4', 'sfdisk')) return;
  const module = fileURLToPath(new URL('../../src/target/open.ts', import.meta.url));
  for (const step of ['open', 'begin', 'flush']) {
    const device = loopDevice(t, { size: SIZE });
    execFileSync('sfdisk', ['-q', '--label', 'gpt', device.path], {
      input: ',,L\n',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    t.match(signatureOf(device.path), /gpt/, 'it shows one before');
    const script = `
      const { openTarget } = await import(${JSON.stringify(module)});
      const signal = new AbortController().signal;
      const target = await openTarget({ path: ${JSON.stringify(device.path)}, partialTag: 'plan', signal });
      target.checkSize(${SIZE});
      if (${JSON.stringify(step)} !== 'open') {
        const session = await target.begin({ claim: ${JSON.stringify(CLAIM)}, diskSize: ${SIZE}, replace: false, signal });
        if (${JSON.stringify(step)} === 'flush') await session.flush();
      }
      console.log('there');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    if (step === 'open') {
      t.match(signatureOf(device.path), /gpt/, 'before the claim nothing is written');
      continue;
    }
    t.equal(signatureOf(device.path), '', `after ${step}`);
    const again = await opened(t, device.path);
    t.equal(await again.checkBlank({ force: false, ownClaim: EXCUSE }), 'claimed', 'and the same plan may go on');
  }
});

test('a device of another writer, a read-only one, one that is too small', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: SIZE });
  const writer = await open(device.path, 'r+');
  const other = spawn('sleep', ['60'], { stdio: ['ignore', writer.fd, 'ignore'] });
  await writer.close();
  await t.rejects(openTarget({ path: device.path, partialTag: 'plan', signal }), {
    code: 'TARGET_BUSY',
    message: /sleep/,
  });
  other.kill();
  await once(other, 'close');
  const target = await openTarget({ path: device.path, partialTag: 'plan', signal });
  t.throws(() => target.checkSize(SIZE + 512), { code: 'TARGET_TOO_SMALL' });
  await target.close();
  await target.close();
  const readOnly = loopDevice(t, { size: SIZE, readOnly: true });
  await t.rejects(openTarget({ path: readOnly.path, partialTag: 'plan', signal }), { code: 'TARGET_DENIED' });
});

test('a writer that came after the check is seen before the claim', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: SIZE });
  const target = await opened(t, device.path);
  const writer = await open(device.path, 'r+');
  const other = spawn('sleep', ['60'], { stdio: ['ignore', writer.fd, 'ignore'] });
  await writer.close();
  await t.rejects(target.begin(BEGIN), { code: 'TARGET_BUSY', message: /sleep/ });
  t.ok(isFilled(readFileSync(device.file)), 'nothing is written');
  other.kill();
  await once(other, 'close');
  t.strictSame(await (await target.begin(BEGIN)).abandon(), {});
});

test('a partition table on the target itself is no holder, a mounted partition is', async (t) => {
  if (!requires(t, 'root', 'losetup', 'sfdisk', 'partx', 'mkfs.ext4')) return;
  const device = loopDevice(t, { size: 32 * MiB, partitions: true });
  const mountPoint = join(tempFolder(t), 'mnt');
  mkdirSync(mountPoint);
  execFileSync('sfdisk', ['-q', '--label', 'gpt', device.path], {
    input: ',,L\n',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Kernels without partition support are told by partx; without udev nobody makes the partition's node.
  spawnSync('partx', ['--add', device.path]);
  const partition = join(tempFolder(t), 'p1');
  const name = `${device.path.slice('/dev/'.length)}p1`;
  const [major = '', minor = ''] = readFileSync(`/sys/class/block/${name}/dev`, 'utf8').trim().split(':');
  execFileSync('mknod', [partition, 'b', major, minor]);
  await (await openTarget({ path: device.path, partialTag: 'plan', signal })).close();
  execFileSync('mkfs.ext4', ['-q', partition]);
  execFileSync('mount', [partition, mountPoint]);
  try {
    await t.rejects(openTarget({ path: device.path, partialTag: 'plan', signal }), {
      code: 'TARGET_BUSY',
      message: new RegExp(mountPoint),
    });
  } finally {
    execFileSync('umount', [mountPoint]);
    spawnSync('partx', ['--delete', device.path]);
  }
});

test('a device that does not tell its medium can be a target', async (t) => {
  if (!requires(t, 'root', 'losetup', 'strace')) return;
  const device = loopDevice(t, { size: SIZE });
  const attribute = realpathSync(join('/sys/block', basename(device.path), 'loop/backing_file'));
  const module = fileURLToPath(new URL('../../src/target/open.ts', import.meta.url));
  const script = `
    const { openTarget } = await import(${JSON.stringify(module)});
    const signal = new AbortController().signal;
    const target = await openTarget({ path: ${JSON.stringify(device.path)}, partialTag: 'plan', signal });
    console.log(target.identity.medium);
    await target.close();`;
  for (const errno of ['EIO', 'EPERM']) {
    const strace = injecting({ calls: 'open,openat', fault: `error=${errno}`, path: attribute }, nodeOn(script));
    const { stdout, stderr } = spawnSync('strace', strace, { encoding: 'utf8' });
    t.equal(stdout.trim(), 'null', stderr);
  }
});
