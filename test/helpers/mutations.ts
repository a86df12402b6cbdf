// What somebody may have done to a layer: damage at random, and lies that were thought out.
import { FIELD } from './header-bytes.ts';

export interface Mutation {
  readonly name: string;
  /** Gives the changed bytes; `bytes` may be changed in place. */
  readonly apply: (bytes: Buffer) => Buffer;
}

/** Backing and data file names that would reach outside. `bait` is a path that nothing has a reason to open. */
export function namedMutations(bait: string, port: number): Mutation[] {
  const names = [
    `json:{"driver":"file","filename":"${bait}"}`,
    `json:{"driver":"raw","file":{"driver":"host_device","filename":"${bait}"}}`,
    `nbd://127.0.0.1:${port}/x`,
    `nbd+unix:///x?socket=${bait}`,
    `http://127.0.0.1:${port}/x`,
    `ssh://127.0.0.1:${port}/x`,
    `fat:${bait}`,
    `file:${bait}`,
    bait,
    '/etc/shadow',
    '../../../../../../../../etc/shadow',
    '00.qcow2',
    '01.qcow2',
    '02.qcow2',
    'a'.repeat(1023),
    'a'.repeat(1024),
    `${'../'.repeat(300)}etc/shadow`,
    'a\0b',
    '',
  ];
  return [
    ...names.map((name) => ({ name: `backing ${shorten(name)}`, apply: (bytes: Buffer) => withBacking(bytes, name) })),
    ...names
      .slice(0, 9)
      .map((name) => ({ name: `data file ${shorten(name)}`, apply: (bytes: Buffer) => withDataFile(bytes, name) })),
    ...LIES.map(({ name, lie }) => ({
      name,
      apply: (bytes: Buffer) => {
        lie(bytes);
        return bytes;
      },
    })),
  ];
}

/** `count` of each kind of random damage. */
export function randomMutations(random: () => number, count: number): Mutation[] {
  const repeat = (name: string, apply: (bytes: Buffer) => Buffer): Mutation[] =>
    Array.from({ length: count }, (_, index) => ({ name: `${name} ${index}`, apply }));
  const flipIn =
    (range: (bytes: Buffer) => readonly [number, number]) =>
    (bytes: Buffer): Buffer => {
      const [start, length] = range(bytes);
      const at = Math.min(bytes.length - 1, start + Math.floor(random() * Math.max(1, length)));
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return bytes;
    };
  return [
    ...repeat(
      'a bit of the header',
      flipIn(() => [0, 112]),
    ),
    ...repeat('a bit of the L1 table', flipIn(l1Table)),
    ...repeat(
      'a bit of an L2 table',
      flipIn((bytes) => firstL2Table(bytes, random)),
    ),
    ...repeat(
      'a bit of the refcounts',
      flipIn((bytes) => refcountBlock(bytes)),
    ),
    ...repeat(
      'a bit anywhere',
      flipIn((bytes) => [0, bytes.length]),
    ),
    ...repeat('cut', (bytes) => bytes.subarray(0, Math.floor(random() * bytes.length))),
    ...repeat('a page of noise', (bytes) => {
      const at = Math.floor((random() * bytes.length) / 4096) * 4096;
      for (let index = at; index < Math.min(at + 4096, bytes.length); index += 1)
        bytes[index] = Math.floor(random() * 256);
      return bytes;
    }),
    ...repeat('a cluster copied over another', (bytes) => {
      const size = 2 ** bytes.readUInt32BE(FIELD.clusterBits);
      const pick = (): number => Math.floor((random() * bytes.length) / size) * size;
      bytes.copy(bytes, pick(), pick(), Math.min(bytes.length, pick() + size));
      return bytes;
    }),
  ];
}

const LIES: readonly { readonly name: string; readonly lie: (bytes: Buffer) => void }[] = [
  { name: 'an L1 table of 2^32 - 1 entries', lie: (bytes) => void bytes.writeUInt32BE(0xffffffff, FIELD.l1Size) },
  { name: 'an L1 table of 2^22 entries', lie: (bytes) => void bytes.writeUInt32BE(2 ** 22, FIELD.l1Size) },
  { name: 'an L1 table of none', lie: (bytes) => void bytes.writeUInt32BE(0, FIELD.l1Size) },
  { name: 'an L1 table beyond the end', lie: (bytes) => void bytes.writeBigUInt64BE(2n ** 62n, FIELD.l1Offset) },
  { name: 'an L1 table in the header', lie: (bytes) => void bytes.writeBigUInt64BE(0n, FIELD.l1Offset) },
  {
    name: 'refcounts of 2^32 - 1 clusters',
    lie: (bytes) => void bytes.writeUInt32BE(0xffffffff, FIELD.refcountTableClusters),
  },
  {
    name: 'refcounts in the L1 table',
    lie: (bytes) => bytes.copy(bytes, FIELD.refcountTableOffset, FIELD.l1Offset, FIELD.l1Offset + 8),
  },
  { name: '65536 snapshots', lie: (bytes) => void bytes.writeUInt32BE(65536, FIELD.snapshotCount) },
  { name: 'a disk of 8 EiB', lie: (bytes) => void bytes.writeBigUInt64BE(2n ** 63n - 512n, FIELD.size) },
  { name: 'a disk of 4 PiB', lie: (bytes) => void bytes.writeBigUInt64BE(2n ** 52n, FIELD.size) },
  { name: 'a disk of nothing', lie: (bytes) => void bytes.writeBigUInt64BE(0n, FIELD.size) },
  {
    name: 'a disk of an odd byte',
    lie: (bytes) => void bytes.writeBigUInt64BE(bytes.readBigUInt64BE(FIELD.size) + 1n, FIELD.size),
  },
  { name: 'clusters of 2 GiB', lie: (bytes) => void bytes.writeUInt32BE(31, FIELD.clusterBits) },
  { name: 'clusters of a byte', lie: (bytes) => void bytes.writeUInt32BE(0, FIELD.clusterBits) },
  {
    name: 'other clusters',
    lie: (bytes) => void bytes.writeUInt32BE(bytes.readUInt32BE(FIELD.clusterBits) - 1, FIELD.clusterBits),
  },
  { name: 'LUKS', lie: (bytes) => void bytes.writeUInt32BE(2, FIELD.cryptMethod) },
  { name: 'the dirty bit', lie: (bytes) => void bytes.writeUInt8(1, FIELD.incompatible + 7) },
  {
    name: 'an L2 table that is its own L1 table',
    lie: (bytes) =>
      void bytes.writeBigUInt64BE(
        bytes.readBigUInt64BE(FIELD.l1Offset) | (1n << 63n),
        Number(bytes.readBigUInt64BE(FIELD.l1Offset)),
      ),
  },
  {
    name: 'an L2 table in the header',
    lie: (bytes) => void bytes.writeBigUInt64BE(1n << 63n, Number(bytes.readBigUInt64BE(FIELD.l1Offset))),
  },
  { name: 'nothing but a magic', lie: (bytes) => void bytes.fill(0, 4) },
];

/** Behind the header's extensions, in the first cluster, as QEMU writes it. */
function withBacking(bytes: Buffer, name: string): Buffer {
  const cluster = 2 ** bytes.readUInt32BE(FIELD.clusterBits);
  const at = cluster - 1100;
  bytes.fill(0, at, cluster);
  bytes.write(name, at, 'latin1');
  bytes.writeBigUInt64BE(BigInt(at), FIELD.backingOffset);
  bytes.writeUInt32BE(name.length, FIELD.backingSize);
  return bytes;
}

/** The bit, and the extension with the name (docs/interop/qcow2.txt: 0x44415441). */
function withDataFile(bytes: Buffer, name: string): Buffer {
  bytes[FIELD.incompatible + 7] = 4;
  const padded = Math.ceil(name.length / 8) * 8;
  bytes.fill(0, FIELD.extensions, FIELD.extensions + 8 + padded + 8);
  bytes.writeUInt32BE(0x44415441, FIELD.extensions);
  bytes.writeUInt32BE(name.length, FIELD.extensions + 4);
  bytes.write(name, FIELD.extensions + 8, 'latin1');
  return bytes;
}

function l1Table(bytes: Buffer): [number, number] {
  return [Number(bytes.readBigUInt64BE(FIELD.l1Offset)), bytes.readUInt32BE(FIELD.l1Size) * 8];
}

function firstL2Table(bytes: Buffer, random: () => number): [number, number] {
  const [start, length] = l1Table(bytes);
  const tables: number[] = [];
  for (let at = start; at < start + length; at += 8) {
    const offset = Number(bytes.readBigUInt64BE(at) & 0x00fffffffffffe00n);
    if (offset > 0) tables.push(offset);
  }
  const table = tables[Math.floor(random() * tables.length)] ?? start;
  // Few entries of a small disk's tables are in use; damage elsewhere would show nothing.
  return [table, 1024];
}

function refcountBlock(bytes: Buffer): [number, number] {
  const table = Number(bytes.readBigUInt64BE(FIELD.refcountTableOffset));
  return [Number(bytes.readBigUInt64BE(table)), (bytes.length / 2 ** bytes.readUInt32BE(FIELD.clusterBits)) * 2];
}

function shorten(name: string): string {
  return name.length > 60 ? `${name.slice(0, 20)}… (${name.length})` : name;
}
