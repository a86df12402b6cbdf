// Table entries: by hand after the specification, and against what qemu-img says of a real layer.
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { parseHeader } from '../../src/qcow2/header.ts';
import { decodeL1, decodeL2Entry, type L2Entry, l2EntriesPerTable } from '../../src/qcow2/tables.ts';
import { GiB, KiB } from '../../src/units.ts';
import { makeChain, qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const STANDARD: readonly [string, number, L2Entry][] = [
  ['00000000 00000000', 16, { kind: 'unallocated' }],
  ['00000000 00000001', 16, { kind: 'zero' }],
  ['80000000 00050001', 16, { kind: 'zero' }],
  ['80000000 00050000', 16, { kind: 'data', offset: 0x50000 }],
  ['80ffffff fffffe00', 9, { kind: 'data', offset: 2 ** 56 - 512 }],
  // 64 KiB clusters: x = 54, so 8 bits of sectors above 54 bits of offset.
  ['40000000 00050010', 16, { kind: 'compressed', offset: 0x50010, length: 512 - 16 }],
  ['40c00000 00050200', 16, { kind: 'compressed', offset: 0x50200, length: 4 * 512 }],
  ['7fc00000 00000000', 16, { kind: 'compressed', offset: 0, length: 256 * 512 }],
  // 512-byte clusters: x = 61; 2 MiB clusters: x = 49.
  ['60000000 00000001', 9, { kind: 'compressed', offset: 1, length: 2 * 512 - 1 }],
  ['40020001 00000000', 21, { kind: 'compressed', offset: 2 ** 32, length: 2 * 512 }],
];

for (const [bytes, clusterBits, expected] of STANDARD) {
  test(`L2 entry ${bytes} with ${clusterBits} cluster bits`, async (t) => {
    t.strictSame(decodeL2Entry(hex(bytes), 0, { clusterBits, extendedL2: false }), expected);
  });
}

test('extended entries carry their subclusters', async (t) => {
  const format = { clusterBits: 16, extendedL2: true };
  const table = hex('00000000 00000000 00000000 00000000  80000000 00050000 0000000c 00000003');
  t.strictSame(decodeL2Entry(table, 0, format), { kind: 'unallocated' });
  t.strictSame(decodeL2Entry(table, 1, format), { kind: 'subclusters', offset: 0x50000, allocated: 3, zero: 12 });
  t.equal(l2EntriesPerTable(format), 4096);
  t.equal(l2EntriesPerTable({ ...format, extendedL2: false }), 8192);
});

test('L1 entries lose their flags', async (t) => {
  t.strictSame(
    [...decodeL1(hex('80000000 00040000 00000000 00000000 00ffffff fffffe00 0102'))],
    [0x40000, 0, 2 ** 56 - 512],
  );
});

test('finds the clusters of a real layer where qemu-img map says they are', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const [path] = makeChain(t, { size: 2 * GiB, layers: ['AB-0-C'] }).layers;
  const bytes = readFileSync(path ?? '');
  const header = parseHeader(bytes, 'layer');
  const l1 = decodeL1(bytes.subarray(header.l1TableOffset, header.l1TableOffset + header.l1Size * 8));
  t.equal(l1.length, 4);
  const table = bytes.subarray(l1[0], (l1[0] ?? 0) + header.clusterSize);
  const entries = [0, 1, 2, 3, 4, 5].map((index) =>
    decodeL2Entry(table, index, { clusterBits: 16, extendedL2: false }),
  );
  const runs: { start: number; length: number; offset?: number }[] = JSON.parse(
    qemu('qemu-img', 'map', '--output=json', path ?? ''),
  );
  const hostOf = (guest: number): number | undefined => {
    const run = runs.find(({ start, length }) => start <= guest && guest < start + length);
    return run?.offset === undefined ? undefined : run.offset + guest - run.start;
  };
  t.strictSame(
    entries.map((entry) => entry.kind),
    ['data', 'data', 'unallocated', 'zero', 'unallocated', 'data'],
  );
  for (const [index, entry] of entries.entries()) {
    t.equal(entry.kind === 'data' ? entry.offset : undefined, hostOf(index * 64 * KiB), `cluster ${index}`);
  }
});
