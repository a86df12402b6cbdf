// What is refused, by code, and what is only warned about.
import { test } from 'tap';
import { parseHeader } from '../../src/qcow2/header.ts';
import { validateChain, validateHeader } from '../../src/qcow2/judge.ts';
import { FIELD, SOUND_FILE_SIZE, soundHeader } from '../helpers/header-bytes.ts';

const CLUSTER = 65536n;

function judge(change: (view: DataView) => void, { base = false, fileSize = SOUND_FILE_SIZE } = {}): string[] {
  return validateHeader(parseHeader(soundHeader(change), 'cp-2'), { where: 'cp-2', fileSize, base });
}

const u32 = (field: number, value: number) => (view: DataView) => view.setUint32(field, value);
const u64 = (field: number, value: bigint) => (view: DataView) => view.setBigUint64(field, value);
const both =
  (...changes: readonly ((view: DataView) => void)[]) =>
  (view: DataView) => {
    for (const change of changes) change(view);
  };
const backing = (offset: bigint, size: number) => both(u64(FIELD.backingOffset, offset), u32(FIELD.backingSize, size));

const REFUSED: readonly [string, 'IMAGE_UNSAFE' | 'IMAGE_CORRUPT', RegExp, (view: DataView) => void][] = [
  ['AES encryption', 'IMAGE_UNSAFE', /encrypted/, u32(FIELD.cryptMethod, 1)],
  ['LUKS encryption', 'IMAGE_UNSAFE', /encrypted/, u32(FIELD.cryptMethod, 2)],
  ['an encryption header alone', 'IMAGE_UNSAFE', /encrypted/, u32(FIELD.extensions, 0x0537be77)],
  ['an external data file', 'IMAGE_UNSAFE', /external data file/, u64(FIELD.incompatible, 4n)],
  ['the name of a data file alone', 'IMAGE_UNSAFE', /external data file/, u32(FIELD.extensions, 0x44415441)],
  ['feature bit 5', 'IMAGE_UNSAFE', /feature bits: 5/, u64(FIELD.incompatible, 1n << 5n)],
  ['feature bit 63', 'IMAGE_UNSAFE', /feature bits: 63/, u64(FIELD.incompatible, 1n << 63n)],
  ['the corrupt bit', 'IMAGE_CORRUPT', /marked corrupt/, u64(FIELD.incompatible, 2n)],
  ['zstd without its feature bit', 'IMAGE_CORRUPT', /compression/, u32(FIELD.compressionType, 1 << 24)],
  ['zlib with the bit of zstd', 'IMAGE_CORRUPT', /compression/, u64(FIELD.incompatible, 8n)],
  ['a backing name past the first cluster', 'IMAGE_CORRUPT', /backing name/, backing(CLUSTER, 1)],
  ['a backing name of 1024 bytes', 'IMAGE_CORRUPT', /backing name/, backing(512n, 1024)],
  ['no virtual size', 'IMAGE_CORRUPT', /virtual size of 0/, u64(FIELD.size, 0n)],
  ['half a sector', 'IMAGE_CORRUPT', /virtual size/, u64(FIELD.size, 2n ** 30n - 1n)],
  ['an L1 table too small for the disk', 'IMAGE_CORRUPT', /L1 table has 1 entries.*needs 2/, u32(FIELD.l1Size, 1)],
  ['an L1 table above 32 MiB', 'IMAGE_CORRUPT', /at most 4194304/, u32(FIELD.l1Size, 4194305)],
  ['an L1 table past the end', 'IMAGE_CORRUPT', /L1 table .* past/, u64(FIELD.l1Offset, 8n * CLUSTER)],
  ['an L1 table not aligned', 'IMAGE_CORRUPT', /L1 table .* aligned/, u64(FIELD.l1Offset, 3n * CLUSTER + 8n)],
  ['an L1 table upon the header', 'IMAGE_CORRUPT', /L1 table .* header/, u64(FIELD.l1Offset, 0n)],
  ['no refcount table', 'IMAGE_CORRUPT', /refcount table/, u32(FIELD.refcountTableClusters, 0)],
  ['a refcount table above 8 MiB', 'IMAGE_CORRUPT', /refcount table/, u32(FIELD.refcountTableClusters, 129)],
  [
    'a refcount table past the end',
    'IMAGE_CORRUPT',
    /refcount table .* past/,
    u64(FIELD.refcountTableOffset, 8n * CLUSTER),
  ],
  ['refcounts of 128 bits', 'IMAGE_CORRUPT', /refcount order/, u32(FIELD.refcountOrder, 7)],
  ['65537 snapshots', 'IMAGE_CORRUPT', /snapshots/, u32(FIELD.snapshotCount, 65537)],
  ['snapshots upon the header', 'IMAGE_CORRUPT', /snapshot table/, u32(FIELD.snapshotCount, 1)],
  [
    'extended L2 with clusters of 8 KiB',
    'IMAGE_CORRUPT',
    /extended L2/,
    both(u64(FIELD.incompatible, 16n), u32(FIELD.clusterBits, 13)),
  ],
];

for (const [title, code, message, change] of REFUSED) {
  test(`refuses ${title}`, async (t) => {
    t.throws(() => judge(change), { code, message });
  });
}

const UNREADABLE: readonly [string, Uint8Array, RegExp][] = [
  ['nothing', new Uint8Array(0), /magic/],
  ['another magic', soundHeader(u32(FIELD.magic, 0)), /magic/],
  ['71 bytes', soundHeader(u32(FIELD.version, 2)).subarray(0, 71), /ends within the header/],
  ['103 bytes of version 3', soundHeader().subarray(0, 103), /ends within the header/],
  ['version 1', soundHeader(u32(FIELD.version, 1)), /version 1,/],
  ['version 4', soundHeader(u32(FIELD.version, 4)), /version 4,/],
  ['cluster bits 8', soundHeader(u32(FIELD.clusterBits, 8)), /cluster bits/],
  ['cluster bits 22', soundHeader(u32(FIELD.clusterBits, 22)), /cluster bits/],
  ['a header of 96 bytes', soundHeader(u32(FIELD.headerLength, 96)), /header length/],
  ['a header larger than a cluster', soundHeader(u32(FIELD.headerLength, 65544)), /header length/],
  ['a virtual size of 2^53', soundHeader(u64(FIELD.size, 2n ** 53n)), /virtual size exceeds/],
  ['an extension past the first cluster', soundHeader(both(u32(112, 1), u32(116, 65536))), /extension/],
];

for (const [title, bytes, message] of UNREADABLE) {
  test(`does not parse ${title}`, async (t) => {
    t.throws(() => parseHeader(bytes, 'cp-2'), { code: 'IMAGE_CORRUPT', message });
  });
}

test('takes a sound header without a word', async (t) => {
  t.strictSame(
    judge(() => {}, { base: true }),
    [],
  );
});

test('takes the backing file that libvirt records in every incremental without a word', async (t) => {
  const name = '/var/run/kubevirt-private/libvirt/qemu/cbt/rootdisk.qcow2';
  const change = both(backing(512n, name.length), (view) =>
    new Uint8Array(view.buffer).set(new TextEncoder().encode(name), 512),
  );
  t.strictSame(judge(change), []);
});

test('warns of the dirty bit and of snapshots', async (t) => {
  const change = both(
    u64(FIELD.incompatible, 1n),
    u32(FIELD.snapshotCount, 2),
    u64(FIELD.snapshotsOffset, 4n * CLUSTER),
  );
  t.match(judge(change), [/dirty bit/, /2 internal snapshots/]);
});

test('refuses a backing file in the base, and names it in a way that is safe to print', async (t) => {
  const evil = '\u001b]0;hi\u0007/etc/shadow';
  const change = both(backing(512n, evil.length), (view) =>
    new Uint8Array(view.buffer).set(new TextEncoder().encode(evil), 512),
  );
  t.throws(() => judge(change, { base: true }), {
    code: 'IMAGE_UNSAFE',
    message: /"\\u\{1b\}\]0;hi\\u\{7\}\/etc\/shadow"/,
  });
});

test('refuses tables that a file cut short no longer holds', async (t) => {
  t.throws(() => judge(() => {}, { fileSize: 3 * 65536 }), { code: 'IMAGE_CORRUPT', message: /L1 table/ });
  t.throws(() => judge(() => {}, { fileSize: 65536 }), { code: 'IMAGE_CORRUPT' });
});

test('a disk may grow along its chain, and must not shrink', async (t) => {
  const layer = (where: string, size: bigint) => ({
    where,
    header: parseHeader(soundHeader(u64(FIELD.size, size)), where),
  });
  validateChain([layer('cp-1', 2n ** 29n), layer('cp-2', 2n ** 29n), layer('cp-3', 2n ** 30n)]);
  t.throws(() => validateChain([layer('cp-1', 2n ** 30n), layer('cp-2', 2n ** 29n)]), {
    code: 'CHAIN_BROKEN',
    message: /^cp-2: virtual disk is smaller than that of its parent cp-1: 536870912 bytes, parent 1073741824$/,
  });
});
