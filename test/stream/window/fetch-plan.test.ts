// From visible ranges to pieces: everything visible is fetched, hidden gaps are not, in the order of need.
import fc from 'fast-check';
import { type Test, test } from 'tap';
import type { PieceRange } from '../../../src/stream/fetch/piece.ts';
import type { RemoteLayer } from '../../../src/stream/fetch/remote-layer.ts';
import { FetchPlan, MIN_GAP } from '../../../src/stream/window/fetch-plan.ts';
import { KiB, MiB } from '../../../src/units.ts';
import { requires } from '../../helpers/requires.ts';
import { checkedChain, withChain } from '../../helpers/served-chain.ts';

const OPTIONS = { pieceSize: 4 * MiB, ripeAfter: 8 * MiB };

/** Two layers to plan for; where they lie does not matter. */
async function withLayers(t: Test, work: (layers: readonly RemoteLayer[]) => Promise<void>): Promise<void> {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  await withChain(t, await checkedChain(t, { layers: ['A', 'B'] }), ({ layers }) => work(layers));
}

type Cells = readonly (readonly [layer: number, offset: number, length: number])[];

function planned(layers: readonly RemoteLayer[], ranges: Cells): PieceRange[] {
  const plan = new FetchPlan(OPTIONS);
  for (const [index, offset, length] of ranges) {
    const layer = layers[index];
    if (layer === undefined) throw new Error(`no layer ${index}`);
    for (const range of plan.split({ layer, offset, length })) plan.add(range);
  }
  plan.complete();
  const pieces: PieceRange[] = [];
  for (let cut = plan.cutNext(false); cut !== undefined; cut = plan.cutNext(false)) pieces.push(...cut);
  return pieces;
}

test('neighbours are joined, gaps worth a request are left out, regions end pieces', async (t) => {
  await withLayers(t, async (layers) => {
    const shown = (ranges: Cells): unknown =>
      planned(layers, ranges).map(({ layer, start, end, visible }) => [layer.index, start, end, visible]);
    t.strictSame(shown([[0, 64 * KiB, 64 * KiB]]), [[0, 64 * KiB, 128 * KiB, 64 * KiB]]);
    t.strictSame(
      shown([
        [0, 0, 64 * KiB],
        [0, 64 * KiB + MIN_GAP - 512, 512],
        [0, 64 * KiB + 2 * MIN_GAP, 512],
      ]),
      [
        [0, 0, 64 * KiB + MIN_GAP, 64 * KiB + 512],
        [0, 64 * KiB + 2 * MIN_GAP, 64 * KiB + 2 * MIN_GAP + 512, 512],
      ],
    );
    t.strictSame(shown([[1, 3 * MiB, 6 * MiB]]), [
      [1, 3 * MiB, 4 * MiB, MiB],
      [1, 4 * MiB, 8 * MiB, 4 * MiB],
      [1, 8 * MiB, 9 * MiB, MiB],
    ]);
    t.strictSame(
      shown([
        [0, MiB, 4 * KiB],
        [1, 0, 4 * KiB],
        [0, MiB - 4 * KiB, 4 * KiB],
      ]),
      [
        [0, MiB - 4 * KiB, MiB + 4 * KiB, 8 * KiB],
        [1, 0, 4 * KiB, 4 * KiB],
      ],
      'host order in a piece, guest order among pieces',
    );
  });
});

test('whatever is visible lies in exactly one piece', async (t) => {
  await withLayers(t, async (layers) => {
    const range = fc.tuple(fc.nat(1), fc.nat(400), fc.integer({ min: 1, max: 40 }));
    fc.assert(
      fc.property(fc.uniqueArray(range, { maxLength: 60, selector: ([layer, at]) => layer * 1000 + at }), (places) => {
        const cells = places.map(
          ([layer, at, length]) => [layer, at * 64 * KiB, Math.min(length, 1) * 64 * KiB] as const,
        );
        const pieces = planned(layers, cells);
        const visible = pieces.reduce((sum, piece) => sum + piece.visible, 0);
        return (
          visible === cells.length * 64 * KiB &&
          pieces.every(
            ({ start, end }) => Math.floor(start / OPTIONS.pieceSize) === Math.floor((end - 1) / OPTIONS.pieceSize),
          ) &&
          cells.every(
            ([index, offset, length]) =>
              pieces.filter(
                ({ layer, start, end }) => layer.index === index && start <= offset && offset + length <= end,
              ).length === 1,
          )
        );
      }),
    );
    t.pass('100 forecasts');
  });
});

test('a region waits until it is ripe or full, unless somebody asks for it', async (t) => {
  await withLayers(t, async ([layer]) => {
    if (layer === undefined) return;
    const plan = new FetchPlan(OPTIONS);
    plan.add({ layer, offset: 0, length: 64 * KiB });
    t.equal(plan.cutNext(false), undefined);
    plan.add({ layer, offset: 4 * MiB, length: 4 * MiB });
    t.equal(plan.cutNext(false)?.[0]?.start, 4 * MiB, 'full');
    plan.add({ layer, offset: 40 * MiB, length: 3 * MiB });
    t.equal(plan.cutNext(false), undefined);
    plan.add({ layer, offset: 44 * MiB, length: 2 * MiB });
    t.equal(plan.cutNext(false)?.[0]?.start, 0, 'ripe');
    t.equal(plan.cutAt(layer, 41 * MiB)[0]?.start, 40 * MiB, 'asked for');
    t.equal(plan.waiting, 1);
    t.strictSame(plan.cutAt(layer, 41 * MiB), [], 'gone');
  });
});
