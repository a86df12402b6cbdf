// Headers that name a parent, made without writing to the image: QEMU must open what is shown, and nothing else may differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { parseHeader } from '../../src/qcow2/header.ts';
import { rebasedHead } from '../../src/qcow2/rebased-head.ts';
import { layerNode, nbdNode, toFilename } from '../../src/qemu/graph.ts';
import { MiB } from '../../src/units.ts';
import { type ChainShape, makeChain, qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';

const SHAPES: Readonly<Record<string, ChainShape>> = {
  'clusters of 64 KiB': { layers: ['AAAA', '-B--'] },
  'clusters of 512 bytes': { clusterSize: 512, layers: ['AAAA', '-B--'] },
  'clusters of 2 MiB': { clusterSize: 2 * 1024 * 1024, layers: ['AAAA', '-B--'] },
  'version 2': { layers: [{ cells: 'AAAA' }, { cells: '-B--', options: 'compat=0.10' }] },
  'zstd clusters': {
    layers: [{ cells: 'AAAA' }, { cells: '-B--', compressed: true, options: 'compression_type=zstd' }],
  },
  'extended L2 entries': { layers: ['AAAA', { cells: '-B--', options: 'extended_l2=on' }] },
  'a recorded backing path': { layers: ['AAAA', { cells: '-B--', recordedBacking: '/etc/shadow' }] },
};

/** The longest path that a socket may have, in the form in which qemu is told of it. */
const LONGEST = toFilename(layerNode(nbdNode(`/${'x'.repeat(106)}`, '1000'), { l2CacheSize: MiB }));

for (const [name, shape] of Object.entries(SHAPES)) {
  test(`${name}: QEMU reads the parent that we name`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const made = makeChain(t, shape);
    const bytes = readFileSync(made.layers[1] ?? '');
    const before = parseHeader(bytes, 'layer');
    const show = (backing: string | undefined): Buffer => {
      const head = rebasedHead(bytes, before, { backing, where: 'layer' });
      const shown = Buffer.from(bytes).fill(0, 0, before.clusterSize);
      shown.set(head);
      return shown;
    };
    const path = join(made.dir, 'shown.qcow2');
    writeFileSync(path, show('00.qcow2'));
    const said = JSON.parse(qemu('qemu-img', 'info', '-U', '--output=json', path));
    t.equal(said['backing-filename'], '00.qcow2');
    t.equal(said['backing-filename-format'], 'qcow2');
    qemu('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', path, made.truth);

    const after = parseHeader(show(LONGEST), 'layer');
    t.equal(after.backing?.name, LONGEST, 'the longest name has room');
    for (const field of [
      'version',
      'clusterBits',
      'virtualSize',
      'l1Size',
      'l1TableOffset',
      'compressionType',
    ] as const) {
      t.equal(after[field], before[field], field);
    }
    t.strictSame(after.features, before.features);
    t.equal(parseHeader(show(undefined), 'layer').backing, undefined, 'a base names none');
  });
}

test('a name that has no room is refused, not cut', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const made = makeChain(t, { clusterSize: 512, layers: ['A'] });
  const bytes = readFileSync(made.layers[0] ?? '');
  const header = parseHeader(bytes, 'layer');
  t.throws(() => rebasedHead(bytes, header, { backing: 'x'.repeat(400), where: 'layer' }), DatamoverError);
});
