// Who wrote the backup: KubeVirt, or another program that fills the same bucket layout. Everything that differs by it.
import { KiB } from '../../../src/units.ts';
import type { DiskShape, LayerFormat, LayerType } from './shape.ts';

/** `kubevirt`: as libvirt and the operator leave it. `other`: stand-alone layers of any format, sparse fulls, plain ids. */
export type WriterName = 'kubevirt' | 'other';

export interface Writer {
  /** The running disk is a raw file below an overlay that tracks changes, and an incremental is written on top of it. */
  readonly overlay: boolean;
  /** Bytes of a cluster where the shape names none. */
  readonly clusterSize: number;
  /** `time`: RFC 3339, UTC. */
  checkpointId(number: string, vmBackup: string, time: string): string;
  /** The PVC that holds a volume, where the shape names none. */
  pvcOf(vm: string, volume: string): string;
  /** What a layer records as its backing file. */
  backingOf(disk: DiskShape, format: LayerFormat, type: LayerType): string | undefined;
  /** Throws when this writer makes no such layer. */
  refuse(disk: DiskShape): void;
}

/** The two cluster sizes of KubeVirt's overlays: since July 2026, and QEMU's default before. */
const OVERLAY_CLUSTERS: readonly (number | undefined)[] = [undefined, 256 * KiB, 64 * KiB];

export const WRITERS: Readonly<Record<WriterName, Writer>> = {
  kubevirt: {
    overlay: true,
    clusterSize: 256 * KiB,
    checkpointId: (_number, vmBackup, time) =>
      `${vmBackup}-${time.replace('T', '_').replaceAll(':', '-').slice(0, 19)}`,
    pvcOf: (vm, volume) => `${vm}-${volume}`,
    backingOf: ({ name }, { backing }, type) =>
      type === 'full' ? undefined : (backing ?? `/var/run/kubevirt-private/libvirt/qemu/cbt/${name}.qcow2`),
    refuse: (disk) => {
      for (const format of [disk, ...Object.values(disk.formats ?? {})]) {
        const found = unlikeKubevirt(format);
        if (found !== undefined) throw new Error(`${disk.name}: KubeVirt writes no ${found}; use --like other`);
      }
    },
  },
  other: {
    overlay: false,
    clusterSize: 64 * KiB,
    checkpointId: (number) => `cp-${number}`,
    pvcOf: (_vm, volume) => volume,
    backingOf: (_disk, { backing }, type) => (type === 'full' ? undefined : backing),
    refuse: () => {},
  },
};

function unlikeKubevirt({ clusterSize, compat, extendedL2, compressed }: LayerFormat): string | undefined {
  if (compressed) return 'compressed clusters';
  if (extendedL2) return 'extended L2 entries';
  if (compat === '0.10') return 'qcow2 version 2';
  return OVERLAY_CLUSTERS.includes(clusterSize) ? undefined : `clusters of ${clusterSize} bytes`;
}
