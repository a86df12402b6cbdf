// What the maker makes by default has the shape of what libvirt writes: the same table holds for the layers of
// fixtures/libvirt.tar.gz, which libvirt wrote, and for made ones.
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, madeBackup } from '../helpers/backup.ts';
import { factsOf, type LayerFacts } from '../helpers/layer-facts.ts';
import { libvirtFixture } from '../helpers/libvirt-fixture.ts';
import { requires } from '../helpers/requires.ts';

const GROWN = 9 * MiB + 1536;
/** A full; writes and discards; nothing; growth; a full after all that. */
const MADE = {
  name: 'rootdisk',
  size: 8 * MiB,
  initial: { bytes: 2 * MiB, region: [0, 4 * MiB] },
  resize: { 4: GROWN },
  at: {
    2: { bytes: 256 * KiB, discard: MiB, pattern: 'runs', region: [2 * MiB, 6 * MiB] },
    3: 'nothing',
    4: { bytes: 64 * KiB, region: [0, MiB] },
    5: 'nothing',
  },
} as const;

interface Expected {
  readonly clusterSize: number;
  readonly sizes: readonly [size: number, grown: number];
  /** Of the first incremental: clusters. */
  readonly changed: { readonly data: number; readonly zero: number };
}

function hold(t: Test, layers: readonly LayerFacts[], { clusterSize, sizes: [size, grown], changed }: Expected): void {
  const [first, second, third, fourth, fifth] = layers;
  const backing = /^qcow2:\/var\/run\/kubevirt-private\/libvirt\/qemu\/cbt\/[a-z]+\.qcow2$/;
  const header = { magic: 'QFI', version: 3, refcountBits: 16, headerLength: 112, features: 0n };
  for (const layer of layers) t.match(layer, { ...header, clusterSize, bitmaps: false, compressed: 0 });

  const clusters = Math.ceil(size / clusterSize);
  t.match(first, { virtualSize: size, data: clusters, zero: 0, absent: 0 }, 'a first full is dense');
  t.equal(first?.backing, undefined, 'a full records no backing file');
  t.ok((first?.blank ?? 0) > clusters / 4, `blanks are stored as data: ${first?.blank} of ${clusters}`);
  t.ok((first?.size ?? 0) > size, 'a first full is as large as the disk');

  t.match(second, { virtualSize: size, backing, ...changed }, 'discards are explicit zeros');
  t.equal(second?.absent, clusters - changed.data - changed.zero);
  t.match(third, { backing, data: 0, zero: 0, absent: clusters, size: 3 * clusterSize + 8 }, 'nothing has changed');
  t.match(fourth, { virtualSize: grown, backing }, 'grown to the sector');

  const after = { data: Math.ceil(grown / clusterSize) - changed.zero, zero: changed.zero, absent: 0 };
  t.match(fifth, { virtualSize: grown, ...after }, 'a later full has explicit zeros, and nothing unallocated');
  t.equal(fifth?.backing, undefined);
}

test('layers that libvirt wrote', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const { layersOf } = libvirtFixture(t);
  const facts = (disk: string): LayerFacts[] => layersOf(disk).map((path) => factsOf(t, path));
  await t.test('rootdisk', async (t) => {
    const sizes = [12 * MiB, 14 * MiB + 1536] as const;
    hold(t, facts('rootdisk'), { clusterSize: 256 * KiB, sizes, changed: { data: 3, zero: 3 } });
  });
  await t.test('datadisk', async (t) => {
    const sizes = [8 * MiB + 4608, 9 * MiB] as const;
    hold(t, facts('datadisk'), { clusterSize: 64 * KiB, sizes, changed: { data: 3, zero: 4 } });
  });
});

for (const clusterSize of [256 * KiB, 64 * KiB]) {
  test(`made layers with clusters of ${clusterSize} bytes`, async (t) => {
    if (!requires(t, ...BACKUP_TOOLS)) return;
    const made = await madeBackup(t, { disks: [{ ...MADE, clusterSize }], checkpoints: 5, fullEvery: 4 });
    const facts = made.checkpoints.map(({ layers }) => factsOf(t, layers[0]?.path ?? ''));
    const zero = MiB / clusterSize;
    hold(t, facts, { clusterSize, sizes: [8 * MiB, GROWN], changed: { data: zero, zero } });
  });
}

test('the order in the file is not the guest’s', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 32 * MiB }], checkpoints: 1 });
  t.ok(factsOf(t, made.checkpoints[0]?.layers[0]?.path ?? '').inversions > 0);
});
