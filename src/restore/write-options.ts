// What writing a target takes, however the bytes get there.
import type { CheckedChain } from '../chain/check-layers.ts';
import type { PvcStats } from '../chain/tally.ts';
import type { VirtualDisk } from '../chain/virtual-disk.ts';
import type { Target } from '../target/target.ts';

export interface WriteOptions<Disk extends VirtualDisk = VirtualDisk> {
  readonly chain: CheckedChain;
  readonly target: Target;
  readonly disk: Disk;
  /** A folder of ours for the mask and a MiB of edges. */
  readonly folder: string;
  readonly tally: PvcStats;
}

/** The bytes of the session's edges, in its order. */
export type ReadEdges = () => Promise<readonly Uint8Array[]>;
