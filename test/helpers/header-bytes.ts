// A sound qcow2 header as bytes, to be damaged field by field.

/** The offsets of the header's fields (docs/interop/qcow2.txt). */
export const FIELD = {
  magic: 0,
  version: 4,
  backingOffset: 8,
  backingSize: 16,
  clusterBits: 20,
  size: 24,
  cryptMethod: 32,
  l1Size: 36,
  l1Offset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  snapshotCount: 60,
  snapshotsOffset: 64,
  incompatible: 72,
  refcountOrder: 96,
  headerLength: 100,
  compressionType: 104,
  extensions: 112,
} as const;

/** The file that `soundHeader` describes is this long. */
export const SOUND_FILE_SIZE = 8 * 65536;

/** Version 3, clusters of 64 KiB, a disk of 1 GiB, L1 table in cluster 3, refcount table in cluster 1. */
export function soundHeader(change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(FIELD.magic, 0x514649fb);
  view.setUint32(FIELD.version, 3);
  view.setUint32(FIELD.clusterBits, 16);
  view.setBigUint64(FIELD.size, 2n ** 30n);
  view.setUint32(FIELD.l1Size, 2);
  view.setBigUint64(FIELD.l1Offset, 3n * 65536n);
  view.setBigUint64(FIELD.refcountTableOffset, 65536n);
  view.setUint32(FIELD.refcountTableClusters, 1);
  view.setUint32(FIELD.refcountOrder, 4);
  view.setUint32(FIELD.headerLength, 112);
  change(view);
  return bytes;
}
