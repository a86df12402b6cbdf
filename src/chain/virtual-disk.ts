// The restored disk as qemu sees it, however its layers are reached: what a strategy makes and the target is written from.
import type { BlockGraph } from '../qemu/graph.ts';
import type { CarryOptions } from './destination.ts';

/** How its bytes get to the target: this process carries them, or qemu reads them. */
export type VirtualDisk = CarriedDisk | QemuDisk;

export interface CarriedDisk {
  readonly kind: 'carried';
  /** Bytes: the tip's virtual size. */
  readonly size: number;
  /**
   * Carries all of the disk to a destination, once. Nothing is under way any more when this settles. Rejects with the first
   * failure: the source's, the destination's, or one of the map.
   */
  carry(options: CarryOptions): Promise<void>;
}

export interface QemuDisk {
  readonly kind: 'qemu';
  /** A node whose content, from 0 to `size`, is the disk. */
  readonly node: BlockGraph;
  /** The same, read from the layers themselves: what the edges are taken from, and the target is compared with. */
  readonly chain: BlockGraph;
  /** Bytes: the tip's virtual size. */
  readonly size: number;
  /**
   * Runs `work`, which reads `range` of the disk through qemu, once and in its order; all that reads a node goes through
   * here. Its signal is aborted with the run's, and when the source fails for good: then this rejects with the source's error.
   */
  reading<T>(range: GuestRange, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

export interface GuestRange {
  /** Bytes. */
  readonly offset: number;
  /** Bytes; 0 when nothing is known of what will be read. */
  readonly length: number;
}

/** A disk whose layers, or whose raw image, lie in scratch: nothing is to be prepared for reading it. */
export function localGuest(
  { node, chain, size }: Pick<QemuDisk, 'node' | 'chain' | 'size'>,
  { signal }: { readonly signal: AbortSignal },
): QemuDisk {
  return { kind: 'qemu', node, chain, size, reading: (_range, work) => work(signal) };
}
