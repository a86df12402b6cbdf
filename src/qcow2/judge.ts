// May this layer be handed to qemu-img? Design section 5 "Safe header", with the limits that QEMU itself has
// (block/qcow2.h: L1 table 32 MiB, refcount table 8 MiB, 65536 snapshots, backing name 1023 bytes). Pure.
import { DatamoverError } from '../errors.ts';
import { formatBytes, MiB } from '../units.ts';
import type { Qcow2Header } from './header.ts';
import { quoteUntrusted } from './quote.ts';

export interface JudgeOptions {
  /** Names the layer in messages. */
  readonly where: string;
  /** Bytes of the layer's file or object. */
  readonly fileSize: number;
  /** Whether it is the chain's first layer, which must stand alone. */
  readonly base: boolean;
}

const MAX_L1_BYTES = 32 * MiB;
const MAX_REFCOUNT_TABLE_BYTES = 8 * MiB;
const MAX_SNAPSHOTS = 65536;
/** The fixed part of a snapshot table entry. */
const MIN_SNAPSHOT_BYTES = 40;
const MAX_BACKING_NAME = 1023;
const SECTOR = 512;
/** Extended L2 entries need subclusters (1/32 of a cluster) of at least 512 bytes. */
const MIN_EXTENDED_CLUSTER = 32 * SECTOR;

/**
 * Refuses a layer whose header would make qemu-img open another file, misread it, or use memory without bound.
 * @returns warnings for people, possibly none.
 * @throws DatamoverError IMAGE_UNSAFE: encryption, external data file, backing file in the base, unknown incompatible
 * bit. IMAGE_CORRUPT: all else.
 */
export function judgeHeader(header: Qcow2Header, options: JudgeOptions): string[] {
  judgeFeatures(header, options);
  judgeBacking(header, options);
  judgeSizes(header, options);
  judgeTables(header, options);
  return warnAbout(header, options);
}

/**
 * Refuses a chain, base first, in which a disk shrinks: a checkpoint's disk is never smaller than its parent's.
 * @throws DatamoverError CHAIN_BROKEN
 */
export function judgeChain(layers: readonly { readonly where: string; readonly header: Qcow2Header }[]): void {
  for (const [index, layer] of layers.entries()) {
    const parent = layers[index - 1];
    if (parent === undefined || layer.header.virtualSize >= parent.header.virtualSize) continue;
    throw new DatamoverError(
      'CHAIN_BROKEN',
      `${layer.where} holds a disk of ${layer.header.virtualSize} bytes, its parent ${parent.where} one of ${parent.header.virtualSize}: a disk does not shrink between checkpoints`,
      {
        hint: 'the layers are in the wrong order or of different disks: compare the chain with the index in the bucket',
      },
    );
  }
}

/** A layer's virtual size must fit its L1 table: how many guest bytes one L1 entry maps. */
export function bytesPerL1Entry({ clusterSize, features }: Qcow2Header): number {
  return clusterSize * (clusterSize / (features.extendedL2 ? 16 : 8));
}

function judgeFeatures(header: Qcow2Header, { where }: JudgeOptions): void {
  const { features } = header;
  if (header.cryptMethod !== 0 || header.hasEncryptionHeader) {
    throw unsafe(
      where,
      'it is encrypted',
      'backups of KubeVirt are not; restore it by hand if you trust it and hold its key',
    );
  }
  if (features.externalData || header.dataFileName !== undefined) {
    const named = header.dataFileName === undefined ? '' : ` (${quoteUntrusted(header.dataFileName)})`;
    throw unsafe(
      where,
      `its data lies in another file${named}`,
      'a backup layer never names a data file: it was forged or put there by mistake',
    );
  }
  if (features.unknown.length > 0) {
    const bits = features.unknown.map((bit) => {
      const name = header.featureNames.get(bit);
      return name === undefined ? `${bit}` : `${bit} (${quoteUntrusted(name)})`;
    });
    throw unsafe(
      where,
      `it uses unknown incompatible feature bits: ${bits.join(', ')}`,
      'a newer version of this program may know them',
    );
  }
  if (features.corrupt) {
    throw corrupt(where, 'it is marked corrupt by the QEMU that wrote it');
  }
  const zlib = header.compressionType === 0;
  if (header.compressionType > 1 || features.compressionType === zlib) {
    throw corrupt(where, `its compression type is ${header.compressionType}, which does not go with its feature bits`);
  }
}

function judgeBacking({ backing, clusterSize }: Qcow2Header, { where, base }: JudgeOptions): void {
  if (backing === undefined) return;
  if (base) {
    const named = backing.name === undefined ? '' : ` (${quoteUntrusted(backing.name)})`;
    throw unsafe(
      where,
      `it is the chain's base but names a backing file${named}`,
      'the chain does not begin here: its true first layer is a full one without a backing file',
    );
  }
  if (backing.length > MAX_BACKING_NAME || backing.offset + backing.length > clusterSize) {
    throw corrupt(
      where,
      `its backing name of ${backing.length} bytes at offset ${backing.offset} does not fit the first cluster`,
    );
  }
}

function judgeSizes(header: Qcow2Header, { where }: JudgeOptions): void {
  const { virtualSize, l1Size, clusterSize, refcountOrder, features } = header;
  if (virtualSize === 0 || virtualSize % SECTOR !== 0) {
    throw corrupt(where, `its virtual size of ${virtualSize} bytes is no whole number of sectors of ${SECTOR} above 0`);
  }
  if (features.extendedL2 && clusterSize < MIN_EXTENDED_CLUSTER) {
    throw corrupt(
      where,
      `it has extended L2 entries with clusters of ${clusterSize} bytes; they need ${MIN_EXTENDED_CLUSTER}`,
    );
  }
  const needed = Math.ceil(virtualSize / bytesPerL1Entry(header));
  if (l1Size < needed || l1Size * 8 > MAX_L1_BYTES) {
    throw corrupt(
      where,
      `its L1 table has ${l1Size} entries; a disk of ${virtualSize} bytes needs ${needed}, and QEMU takes at most ${MAX_L1_BYTES / 8}`,
    );
  }
  if (refcountOrder > 6) throw corrupt(where, `its refcount order is ${refcountOrder}, not 0 to 6`);
}

function judgeTables(header: Qcow2Header, { where, fileSize }: JudgeOptions): void {
  const { clusterSize } = header;
  const inside = (name: string, offset: number, length: number): void => {
    if (offset % clusterSize !== 0)
      throw corrupt(where, `its ${name} at offset ${offset} is not aligned to its clusters`);
    if (offset < clusterSize) throw corrupt(where, `its ${name} at offset ${offset} lies on the header`);
    if (offset + length > fileSize) {
      throw corrupt(
        where,
        `its ${name} of ${length} bytes at offset ${offset} ends past the file's ${fileSize} bytes (${formatBytes(fileSize)})`,
      );
    }
  };
  inside('L1 table', header.l1TableOffset, header.l1Size * 8);
  const refcountBytes = header.refcountTableClusters * clusterSize;
  if (refcountBytes === 0 || refcountBytes > MAX_REFCOUNT_TABLE_BYTES) {
    throw corrupt(where, `its refcount table is ${refcountBytes} bytes long, not 1 to ${MAX_REFCOUNT_TABLE_BYTES}`);
  }
  inside('refcount table', header.refcountTableOffset, refcountBytes);
  if (header.snapshotCount > MAX_SNAPSHOTS)
    throw corrupt(where, `it claims ${header.snapshotCount} internal snapshots`);
  if (header.snapshotCount > 0) {
    inside('snapshot table', header.snapshotsOffset, header.snapshotCount * MIN_SNAPSHOT_BYTES);
  }
}

function warnAbout(header: Qcow2Header, { where }: JudgeOptions): string[] {
  const warnings: string[] = [];
  if (header.features.dirty) {
    warnings.push(`${where} was not closed properly by its writer (dirty bit): its refcounts need a repair`);
  }
  if (header.backing !== undefined) {
    const named = header.backing.name === undefined ? '' : ` (${quoteUntrusted(header.backing.name)})`;
    warnings.push(`${where} records a backing file${named}, which is ignored: the plan says what its parent is`);
  }
  if (header.snapshotCount > 0) {
    warnings.push(`${where} holds ${header.snapshotCount} internal snapshots, which are ignored`);
  }
  return warnings;
}

function unsafe(where: string, why: string, hint: string): DatamoverError {
  return new DatamoverError('IMAGE_UNSAFE', `${where} is refused: ${why}`, { hint });
}

function corrupt(where: string, why: string): DatamoverError {
  return new DatamoverError('IMAGE_CORRUPT', `${where} is no sound qcow2 image: ${why}`, {
    hint: 'the layer is damaged: take another copy of it, or restore an earlier checkpoint',
  });
}
