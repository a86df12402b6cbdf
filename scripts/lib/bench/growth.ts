// How time and memory grow with one thing, all else the same.
import { formatBytes, GiB, MiB, TiB } from '../../../src/units.ts';
import type { BackupShape } from '../make-backup/shape.ts';
import { type Bench, compareContenders, type Row } from './compare.ts';
import type { Contender } from './contenders.ts';
import { dataSet, disksShape, emptyShape, layersShape } from './data.ts';
import { withScratch } from './places.ts';

export interface GrowthResult {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly points: readonly { readonly label: string; readonly rows: readonly Row[] }[];
}

type GrowthName = 'layers' | 'sizes' | 'pvcs';

interface Growth {
  readonly title: string;
  readonly unit: string;
  readonly small: readonly number[];
  readonly large: readonly number[];
  readonly label: (value: number) => string;
  readonly shape: (value: number, small: boolean) => BackupShape;
}

const GROWTHS: Readonly<Record<GrowthName, Growth>> = {
  layers: {
    title: 'By the number of layers, with the same total of bytes',
    unit: 'layers',
    small: [2, 8],
    large: [2, 20, 200],
    label: String,
    shape: (layers, small) => layersShape(layers, small ? 32 * MiB : 512 * MiB),
  },
  sizes: {
    title: 'By the virtual size, almost empty',
    unit: 'virtual size',
    small: [GiB, 8 * GiB],
    large: [8 * GiB, 64 * GiB, 256 * GiB, TiB],
    label: formatBytes,
    shape: (size, small) => emptyShape(size, small ? 16 * MiB : 64 * MiB),
  },
  pvcs: {
    title: 'By the number of PVCs, 32 MiB each',
    unit: 'PVCs',
    small: [1, 2],
    large: [1, 8, 32],
    label: String,
    shape: disksShape,
  },
};

export async function measureGrowth(
  bench: Bench,
  name: GrowthName,
  { small, contenders }: { readonly small: boolean; readonly contenders: readonly Contender[] },
): Promise<GrowthResult> {
  const { title, unit, label, shape, ...values } = GROWTHS[name];
  const points: { label: string; rows: readonly Row[] }[] = [];
  for (const value of small ? values.small : values.large) {
    const set = await dataSet(
      bench.data,
      `${name}-${value}${small ? '-small' : ''}`,
      shape(value, small),
      bench.signal,
    );
    const { rows } = await withScratch(bench.work, (scratch) =>
      compareContenders(bench, { name: `${name}-${value}`, title, set, port: 'fast', contenders, scratch }),
    );
    points.push({ label: label(value), rows });
  }
  return { name, title, unit, points };
}
