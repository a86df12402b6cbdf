// The header codec against images that qemu-img itself made.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { HEADER_READ_BYTES, parseHeader, type Qcow2Header } from '../../src/qcow2/header.ts';
import { validateHeader } from '../../src/qcow2/judge.ts';
import { GiB, KiB, MiB, TiB } from '../../src/units.ts';
import { qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

interface Case {
  readonly title: string;
  readonly create: readonly string[];
  readonly size: number;
  readonly expect: Partial<Qcow2Header>;
  readonly features?: Partial<Qcow2Header['features']>;
}

const CASES: readonly Case[] = [
  {
    title: 'defaults',
    create: [],
    size: 10 * GiB,
    expect: {
      version: 3,
      clusterSize: 64 * KiB,
      virtualSize: 10 * GiB,
      refcountOrder: 4,
      backing: undefined,
      cryptMethod: 0,
    },
  },
  {
    title: 'version 2',
    create: ['-o', 'compat=0.10'],
    size: 3 * MiB,
    expect: { version: 2, headerLength: 72, virtualSize: 3 * MiB, refcountOrder: 4, compressionType: 0 },
  },
  {
    title: 'smallest clusters',
    create: ['-o', 'cluster_size=512'],
    size: GiB,
    expect: { clusterBits: 9, clusterSize: 512 },
  },
  { title: '4 KiB clusters', create: ['-o', 'cluster_size=4k'], size: GiB, expect: { clusterBits: 12 } },
  {
    title: 'largest clusters',
    create: ['-o', 'cluster_size=2M'],
    size: 64 * TiB,
    expect: { clusterBits: 21, virtualSize: 64 * TiB },
  },
  {
    title: 'extended L2',
    create: ['-o', 'extended_l2=on,cluster_size=128k'],
    size: GiB,
    expect: {},
    features: { extendedL2: true },
  },
  {
    title: 'zstd',
    create: ['-o', 'compression_type=zstd'],
    size: GiB,
    expect: { compressionType: 1 },
    features: { compressionType: true },
  },
  {
    title: 'lazy refcounts',
    create: ['-o', 'lazy_refcounts=on'],
    size: GiB,
    expect: { version: 3 },
    features: { dirty: false },
  },
  { title: '1-bit refcounts', create: ['-o', 'refcount_bits=1'], size: GiB, expect: { refcountOrder: 0 } },
  { title: '64-bit refcounts', create: ['-o', 'refcount_bits=64'], size: GiB, expect: { refcountOrder: 6 } },
  {
    title: 'preallocated',
    create: ['-o', 'preallocation=metadata'],
    size: 64 * MiB,
    expect: { virtualSize: 64 * MiB },
  },
];

for (const { title, create, size, expect, features } of CASES) {
  test(`reads an image with ${title}, and finds no fault in it`, async (t) => {
    if (!requires(t, 'qemu-img')) return;
    const { header, fileSize } = createAndParse(t, size, ...create);
    t.match(header, expect);
    if (features !== undefined) t.match(header.features, features);
    t.equal(header.features.unknown.length, 0);
    t.strictSame(validateHeader(header, { where: 'layer', fileSize, base: true }), []);
  });
}

test('reads the backing name that an image records', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const { header } = createAndParse(t, GiB, '-u', '-b', '/var/lib/kubevirt/disk.img', '-F', 'raw');
  t.equal(header.backing?.name, '/var/lib/kubevirt/disk.img');
  t.equal(header.backingFormat, 'raw');
});

test('knows only the length of a backing name that lies beyond the bytes given', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const { bytes } = createAndParse(t, GiB, '-u', '-b', 'parent.qcow2', '-F', 'qcow2');
  const offset = parseHeader(bytes, 'layer').backing?.offset ?? 0;
  const { backing } = parseHeader(bytes.subarray(0, offset + 3), 'layer');
  t.strictSame(backing, { offset, length: 12, name: undefined });
});

test('reads the name of an external data file', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const data = join(tempFolder(t), 'data');
  const { header } = createAndParse(t, MiB, '-o', `data_file=${data}`);
  t.equal(header.features.externalData, true);
  t.equal(header.dataFileName, data);
});

/**
 * qemu-img times 32768 rounds of the hash in user time as the kernel's ticks tell it, and gives up when none fell into them
 * ("Unable to get accurate CPU usage"): sha256 in hardware is done between two. A slow hash is not, and few rounds suffice.
 */
const LUKS_OPTIONS = ',encrypt.hash-alg=sha512,encrypt.iter-time=10';

for (const [format, method, options] of [
  ['luks', 2, LUKS_OPTIONS],
  ['aes', 1, ''],
] as const) {
  test(`sees encryption with ${format}`, async (t) => {
    if (!requires(t, 'qemu-img')) return;
    const secret = ['--object', 'secret,id=s,data=test'];
    const encrypt = `encrypt.format=${format},encrypt.key-secret=s${options}`;
    const { header } = createAndParse(t, MiB, ...secret, '-o', encrypt);
    t.equal(header.cryptMethod, method);
    t.equal(header.hasEncryptionHeader, format === 'luks');
  });
}

test('reads the names of feature bits, and whether there are bitmaps', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const { path } = createAndParse(t, MiB);
  qemu('qemu-img', 'bitmap', '--add', '-f', 'qcow2', path, 'b0');
  const header = parseHeader(readFileSync(path).subarray(0, HEADER_READ_BYTES), 'layer');
  t.equal(header.hasBitmaps, true);
  t.equal(header.featureNames.get(0), 'dirty bit');
  t.equal(header.featureNames.get(4), 'extended L2 entries');
});

function createAndParse(t: Test, size: number, ...options: string[]) {
  const path = join(tempFolder(t), 'layer.qcow2');
  qemu('qemu-img', 'create', '-q', '-f', 'qcow2', ...options, path, `${size}`);
  const file = readFileSync(path);
  const bytes = file.subarray(0, HEADER_READ_BYTES);
  return { path, bytes, fileSize: file.length, header: parseHeader(bytes, 'layer') };
}
