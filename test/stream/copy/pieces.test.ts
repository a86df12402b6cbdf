// Extents become pieces: every byte that the disk shows is in exactly one of them, and few besides.
import fc from 'fast-check';
import { test } from 'tap';
import type { Extent } from '../../../src/stream/copy/extents.ts';
import { type Piece, planPieces, type Window } from '../../../src/stream/copy/pieces.ts';
import type { RemoteLayer } from '../../../src/stream/fetch/remote-layer.ts';
import { KiB, MiB } from '../../../src/units.ts';

const CLUSTER = 64 * KiB;
// The plan asks nothing of a layer but its place in the chain.
const LAYERS = [0, 1, 2].map((index) => ({ index }) as RemoteLayer);

async function plan(extents: readonly Extent[], pieceSize: number): Promise<Window[]> {
  async function* each(): AsyncGenerator<Extent> {
    yield* extents;
  }
  const windows: Window[] = [];
  for await (const window of planPieces(each(), { pieceSize })) windows.push(window);
  return windows;
}

/** Extents in the order of the disk; in each layer the clusters lie in some order of their own. */
const disks = fc
  .array(fc.record({ layer: fc.constantFrom(-1, 0, 1, 2), clusters: fc.integer({ min: 1, max: 90 }) }), {
    maxLength: 60,
  })
  .chain((runs) => fc.shuffledSubarray([...runs.keys()], { minLength: runs.length }).map((order) => ({ runs, order })))
  .map(({ runs, order }) => {
    const hosts = new Map<number, number>();
    const ends = [CLUSTER, CLUSTER, CLUSTER];
    for (const index of order) {
      const { layer = -1, clusters = 0 } = runs[index] ?? {};
      if (layer < 0) continue;
      hosts.set(index, ends[layer] ?? 0);
      // Every third is followed by a cluster that the disk does not show.
      ends[layer] = (ends[layer] ?? 0) + (clusters + (index % 3 === 0 ? 1 : 0)) * CLUSTER;
    }
    let offset = 0;
    return runs.map(({ layer: index, clusters }, at): Extent => {
      const length = clusters * CLUSTER;
      offset += length;
      const layer = LAYERS[index];
      if (layer === undefined) return { layer, offset: offset - length, length };
      return { layer, offset: offset - length, length, stored: length, host: hosts.get(at) ?? 0 };
    });
  });

test('each byte of the disk is in one piece, in its place', async (t) => {
  await fc.assert(
    fc.asyncProperty(disks, fc.constantFrom(64 * KiB, MiB, 4 * MiB), async (extents, pieceSize) => {
      const windows = await plan(extents, pieceSize);
      const covered = windows
        .flatMap(({ pieces, zeros }) => [...pieces.flatMap((piece) => [...piece.extents]), ...zeros])
        .sort((a, b) => a.offset - b.offset);
      let end = 0;
      for (const { offset, length } of covered) {
        if (offset !== end) return false;
        end += length;
      }
      const size = extents.reduce((sum, { length }) => sum + length, 0);
      const placed = windows.flatMap(({ pieces }) => pieces).every((piece) => isPlaced(piece, extents, pieceSize));
      return end === size && placed && windows.every(readsFewGaps);
    }),
    { numRuns: 200 },
  );
  t.pass('200 disks');
});

function isPlaced({ layer, start, end, extents }: Piece, all: readonly Extent[], pieceSize: number): boolean {
  let at = start;
  for (const { offset, host, length, layer: own } of extents) {
    const origin = all.find((one) => offset >= one.offset && offset < one.offset + one.length);
    const expected = origin?.layer === undefined ? undefined : origin.host + offset - origin.offset;
    if (own !== layer || origin?.layer !== layer || host !== expected || host < at) return false;
    at = host + length;
  }
  return at === end && end - start <= pieceSize;
}

function readsFewGaps({ pieces }: Window): boolean {
  const visible = pieces.reduce((sum, piece) => sum + piece.extents.reduce((all, { length }) => all + length, 0), 0);
  const fetched = pieces.reduce((sum, { start, end }) => sum + end - start, 0);
  return fetched <= visible * 1.05;
}

test('neighbours in the object are one piece, whatever their order in the disk', async (t) => {
  const [layer] = LAYERS;
  if (layer === undefined) throw new Error('a layer');
  const extents = [3, 1, 0, 2].map((place, index) => ({
    layer,
    offset: index * CLUSTER,
    length: CLUSTER,
    stored: CLUSTER,
    host: place * CLUSTER,
  }));
  const [window] = await plan(extents, 4 * MiB);
  t.match(window?.pieces, [{ start: 0, end: 4 * CLUSTER }]);
  t.equal(window?.pieces.length, 1);
});

test('an extent of a TiB is planned in windows', async (t) => {
  const [layer] = LAYERS;
  if (layer === undefined) throw new Error('a layer');
  const length = 1024 ** 4;
  async function* one(): AsyncGenerator<Extent> {
    yield { layer, offset: 0, length, stored: length, host: CLUSTER };
  }
  let pieces = 0;
  let largest = 0;
  for await (const window of planPieces(one(), { pieceSize: 4 * MiB })) {
    pieces += window.pieces.length;
    largest = Math.max(largest, window.pieces.length);
  }
  t.equal(pieces, length / (4 * MiB));
  t.equal(largest, 16, 'none holds more than 64 MiB');
});

test('the padding of an end that no unit divides is not fetched', async (t) => {
  const [layer] = LAYERS;
  if (layer === undefined) throw new Error('a layer');
  const extents = [{ layer, offset: 0, length: 8 * KiB, stored: 4 * KiB + 512, host: CLUSTER }];
  const [window] = await plan(extents, 4 * MiB);
  t.match(window?.pieces, [{ start: CLUSTER, end: CLUSTER + 4 * KiB + 512 }]);
});
