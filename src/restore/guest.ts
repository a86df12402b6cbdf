// The restored disk as qemu sees it, however its layers are reached: what a strategy makes and the target is written from.
import type { BlockGraph } from '../qemu/graph.ts';

export interface Guest {
  /** A node whose content, from 0 to `size`, is the disk. */
  readonly node: BlockGraph;
  /** Bytes: the tip's virtual size. */
  readonly size: number;
}
