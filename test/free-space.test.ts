// What statfs reports, and what it means: for some file systems nothing, for others nonsense.
import { execFileSync } from 'node:child_process';
import { mkdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { freeSpaceAt, readFreeSpace, type StatFsFields } from '../src/free-space.ts';
import { findMountOptions } from '../src/mount-options.ts';
import { MiB } from '../src/units.ts';
import { fileSystem, MOUNT_TOOLS, mounted } from './helpers/file-system.ts';
import { requires } from './helpers/requires.ts';
import { tempFolder } from './helpers/tmp.ts';

const EXT4: StatFsFields = {
  type: 0xef53n,
  bsize: 4096n,
  frsize: 4096n,
  blocks: 1000n,
  bfree: 300n,
  bavail: 250n,
  files: 64n,
  ffree: 5n,
};

const read = (fields: Partial<StatFsFields>, isRoot = false) =>
  readFreeSpace({ ...EXT4, ...fields }, { device: 7, isRoot, compresses: false });

test('blocks reserved for root are free for root alone', (t) => {
  t.match(read({}), { pool: '7:1000', bytes: 250 * 4096, files: 5, sparse: true, compresses: false });
  t.not(read({ blocks: 500n }).pool, '7:1000', 'a project quota is a pool of its own');
  t.equal(read({ type: 0x2fc12fc1n }).pool, '7', 'the total of ZFS changes as it is used');
  t.equal(read({}, true).bytes, 280 * 4096, 'without the fiftieth that ext4 keeps for itself');
  t.equal(read({ bavail: 300n }, true).bytes, 300 * 4096, 'where it is known to keep less');
  t.equal(read({ blocks: 2n ** 20n, bfree: 5000n, bavail: 0n }, true).bytes, 904 * 4096);
  t.equal(read({ type: 0x58465342n }, true).bytes, 300 * 4096);
  t.equal(read({ type: 0x9123683en }, true).bytes, 250 * 4096, 'btrfs: free, but out of reach of its metadata');
  t.end();
});

test('no total, a negative count and more than the total mean that it is not reported', (t) => {
  for (const unknown of [
    { blocks: 0n, bfree: 0n, bavail: 0n },
    { blocks: 0n },
    { bavail: -1n },
    { bavail: 2n ** 64n - 1n },
    { bavail: 1001n },
  ]) {
    t.equal(read(unknown).bytes, undefined);
  }
  for (const unknown of [{ files: 0n, ffree: 0n }, { ffree: -1n }, { ffree: 2n ** 64n - 1n }, { ffree: 65n }]) {
    t.equal(read(unknown).files, undefined);
  }
  t.equal(read({ bavail: 0n }).bytes, 0, 'full is full');
  t.equal(read({ ffree: 0n }).files, 0);
  t.equal(read({ type: 0x65735546n }).files, undefined, 'a FUSE server counts inodes as it likes');
  t.end();
});

test('large numbers, other units', (t) => {
  const exabytes = { blocks: 2n ** 50n, bavail: 2n ** 49n };
  t.equal(read(exabytes).bytes, 2 ** 61);
  t.equal(read({ bsize: 131_072n, frsize: 4096n }).bytes, 250 * 4096, 'blocks are counted in fragments');
  t.equal(read({ frsize: 0n }).bytes, 250 * 4096);
  const { frsize: _, ...old } = EXT4;
  t.equal(readFreeSpace(old, { device: 7, isRoot: false, compresses: false }).bytes, 250 * 4096, 'an older Node');
  t.end();
});

test('file systems without holes, and those that compress', (t) => {
  for (const type of [0x4d44n, 0x2011bab0n]) t.equal(read({ type }).sparse, false);
  for (const type of [0x2fc12fc1n, 0xca451a4en]) t.equal(read({ type }).compresses, true);
  t.end();
});

test('a path that does not exist yet has the space of its nearest parent', async (t) => {
  const folder = tempFolder(t);
  const { pool } = await freeSpaceAt(join(folder, 'not', 'yet'));
  t.equal(pool, (await freeSpaceAt(folder)).pool);
  t.match(pool, String(statSync(folder).dev));
});

test('real file systems', async (t) => {
  if (!requires(t, ...MOUNT_TOOLS, 'mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs')) return;
  const tmpfs = async (options: string) => await freeSpaceAt(mounted(t, 'tmpfs', options));
  t.match(await tmpfs('size=4M,nr_inodes=10'), { bytes: 4 * MiB, files: 9 });
  t.equal((await tmpfs('size=0')).bytes, undefined, 'a tmpfs without a limit');
  t.equal((await tmpfs('nr_inodes=0')).files, undefined);
  t.match(await freeSpaceAt(mounted(t, 'ramfs')), { bytes: undefined, files: undefined });
  const ext4 = fileSystem(t, { size: 64 * MiB, format: ['mkfs.ext4', '-q', '-m', '10'] });
  const { bytes = 0 } = await freeSpaceAt(ext4);
  const { bavail, bsize } = statfsSync(ext4);
  t.ok(bytes > bavail * bsize + 5 * MiB, 'with the reserve');
  const xfs = fileSystem(t, { size: 320 * MiB, format: ['mkfs.xfs', '-q'] });
  t.ok(((await freeSpaceAt(xfs)).bytes ?? 0) > 200 * MiB);
  for (const [options, compresses] of [
    ['loop', false],
    ['loop,compress=zstd', true],
  ] as const) {
    const btrfs = fileSystem(t, { size: 128 * MiB, format: ['mkfs.btrfs', '-q'], options });
    t.match(await freeSpaceAt(btrfs), { files: undefined, compresses }, options);
  }
  const subvolume = join(fileSystem(t, { size: 128 * MiB, format: ['mkfs.btrfs', '-q'] }), 'sub');
  execFileSync('btrfs', ['subvolume', 'create', subvolume], { stdio: 'ignore' });
  mkdirSync(join(subvolume, 'scratch'));
  t.equal((await freeSpaceAt(join(subvolume, 'scratch'))).compresses, false, 'of a subvolume too');
});

test('the mount that a path lies on is the one with the longest path, the last of several', (t) => {
  const table = [
    '22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw,discard',
    '23 22 0:5 /a /mnt\\040x rw - btrfs /dev/sdb rw,compress=zstd:3',
    '24 22 0:6 / /mnt\\040x rw,noatime shared:2 master:3 - btrfs /dev/sdc rw,ssd',
    '25 22 0:7 / /mntx rw - tmpfs tmpfs rw',
    '',
  ].join('\n');
  t.equal(findMountOptions(table, '/mnt x/deep/er'), 'rw,ssd');
  t.equal(findMountOptions(table, '/mnt x'), 'rw,ssd');
  t.equal(findMountOptions(table, '/mnt xyz'), 'rw,discard');
  t.equal(findMountOptions('', '/x'), undefined);
  t.end();
});
