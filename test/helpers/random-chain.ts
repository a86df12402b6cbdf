// A chain of a random shape, drawn from a seed.
import { GiB, KiB, MiB } from '../../src/units.ts';
import type { ChainShape, LayerShape } from './chain.ts';
import { seededRandom } from './random.ts';

const UNIT = 64 * KiB;

export function randomChain(seed: string): ChainShape {
  const random = seededRandom(seed);
  const pick = <T>(from: readonly [T, ...T[]]): T => from[Math.floor(random() * from.length)] ?? from[0];
  const some = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1));
  let size = random() < 0.15 ? some(1, 64) * 512 : some(1, 20) * MiB + pick([0, 0, 0, 512, 4 * KiB, 3 * 512]);
  const layers: LayerShape[] = [];
  const sameFormat = random() < 0.6 ? randomFormat() : undefined;
  for (let count = some(1, 7); count > 0; count -= 1) {
    if (layers.length > 0 && random() < 0.15) size += some(1, 12) * MiB + pick([0, 0, 512]);
    const density = pick([0, 0.05, 0.3, 0.9]);
    const { options, compressible } = sameFormat ?? randomFormat();
    const compressed = compressible && random() < 0.12;
    layers.push({ cells: randomCells(Math.floor(size / UNIT), density), size, options, compressed });
  }
  return { size, unit: UNIT, layers };

  function randomFormat(): { options: string; compressible: boolean } {
    const cluster = pick([64 * KiB, 64 * KiB, 256 * KiB, 256 * KiB, 4 * KiB, 2 * MiB, 128 * KiB, 2 * KiB]);
    const format = random();
    const extended = format < 0.15 && cluster >= 16 * KiB ? ',extended_l2=on' : '';
    const old = format > 0.9 ? ',compat=0.10' : '';
    return { options: `cluster_size=${cluster}${extended}${old}`, compressible: cluster <= UNIT && extended === '' };
  }

  function randomCells(count: number, density: number): string {
    let cells = '';
    while (cells.length < count) {
      const cell = random() > density ? '-' : pick(['0', 'a', 'b', 'c', 'd', 'e', 'f', 'g']);
      cells += cell.repeat(random() < 0.5 ? 1 : some(1, 24));
    }
    return cells.slice(0, count);
  }
}

/** Bytes of the largest disk that can be drawn. */
export const LARGEST_RANDOM_DISK = GiB / 8;
