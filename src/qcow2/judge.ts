// Validates a layer's header before qemu-img opens the layer. Design section 5 "Safe header", with the limits that QEMU itself
// has (block/qcow2.h: L1 table 32 MiB, refcount table 8 MiB, 65536 snapshots, backing name 1023 bytes). Pure.
import { DatamoverError } from '../errors.ts';
import { formatBytes, MiB } from '../units.ts';
import { corruptImage } from './corrupt-image.ts';
import type { Qcow2Header } from './header.ts';
import { quoteUntrusted } from './quote.ts';

export interface ValidateOptions {
  /** Names the layer in messages. */
  readonly where: string;
  /** Bytes of the layer's file or object. */
  readonly fileSize: number;
  /** Whether it is the chain's first layer, which must have no parent. */
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
 * A backing file that an incremental records is no reason for a warning: libvirt records one in each, and it is never opened.
 * @returns warnings for people, possibly none.
 * @throws DatamoverError IMAGE_UNSAFE: encryption, external data file, backing file in the base, unknown incompatible
 * bit. IMAGE_CORRUPT: all else.
 */
export function validateHeader(header: Qcow2Header, options: ValidateOptions): string[] {
  validateFeatures(header, options);
  validateBacking(header, options);
  validateSizes(header, options);
  validateTables(header, options);
  return warningsOf(header, options);
}

/**
 * Refuses a chain, base first, in which a disk shrinks: a checkpoint's disk is never smaller than its parent's.
 * @throws DatamoverError CHAIN_BROKEN
 */
export function validateChain(layers: readonly { readonly where: string; readonly header: Qcow2Header }[]): void {
  for (const [index, layer] of layers.entries()) {
    const parent = layers[index - 1];
    if (parent === undefined || layer.header.virtualSize >= parent.header.virtualSize) continue;
    throw new DatamoverError(
      'CHAIN_BROKEN',
      `${layer.where}: virtual disk is smaller than that of its parent ${parent.where}: ${layer.header.virtualSize} bytes, parent ${parent.header.virtualSize}`,
      {
        hint: 'the layers are in the wrong order or belong to different disks: compare the chain with the index in the bucket',
      },
    );
  }
}

/** How many bytes of the virtual disk one L1 entry maps. */
export function bytesPerL1Entry({ clusterSize, features }: Qcow2Header): number {
  return clusterSize * (clusterSize / (features.extendedL2 ? 16 : 8));
}

function validateFeatures(header: Qcow2Header, { where }: ValidateOptions): void {
  const { features } = header;
  if (header.cryptMethod !== 0 || header.hasEncryptionHeader) {
    throw unsafeImage(
      where,
      'encrypted',
      'KubeVirt does not encrypt backups; if you trust this layer and have its key, restore it manually',
    );
  }
  if (features.externalData || header.dataFileName !== undefined) {
    const named = header.dataFileName === undefined ? '' : ` (${quoteUntrusted(header.dataFileName)})`;
    throw unsafeImage(
      where,
      `the data is in an external data file${named}`,
      'a backup layer never uses a data file; find out who wrote this object, and restore another backup',
    );
  }
  if (features.unknown.length > 0) {
    const bits = features.unknown.map((bit) => {
      const name = header.featureNames.get(bit);
      return name === undefined ? `${bit}` : `${bit} (${quoteUntrusted(name)})`;
    });
    throw unsafeImage(
      where,
      `unknown incompatible feature bits: ${bits.join(', ')}`,
      'use a newer version of kubevirt-datamover',
    );
  }
  if (features.corrupt) {
    throw corruptImage(where, 'marked corrupt by the QEMU that wrote it');
  }
  const zlib = header.compressionType === 0;
  if (header.compressionType > 1 || features.compressionType === zlib) {
    throw corruptImage(where, `compression type ${header.compressionType} contradicts the feature bits`);
  }
}

function validateBacking({ backing, clusterSize }: Qcow2Header, { where, base }: ValidateOptions): void {
  if (backing === undefined) return;
  if (base) {
    const named = backing.name === undefined ? '' : ` (${quoteUntrusted(backing.name)})`;
    throw unsafeImage(
      where,
      `first layer of the chain, but it records a backing file${named}`,
      'the chain starts earlier: its first layer is a full without a backing file',
    );
  }
  if (backing.length > MAX_BACKING_NAME || backing.offset + backing.length > clusterSize) {
    throw corruptImage(
      where,
      `backing name of ${backing.length} bytes at offset ${backing.offset} does not fit into the first cluster`,
    );
  }
}

function validateSizes(header: Qcow2Header, { where }: ValidateOptions): void {
  const { virtualSize, l1Size, clusterSize, refcountOrder, features } = header;
  if (virtualSize === 0 || virtualSize % SECTOR !== 0) {
    throw corruptImage(where, `virtual size of ${virtualSize} bytes is not a positive multiple of ${SECTOR}`);
  }
  if (features.extendedL2 && clusterSize < MIN_EXTENDED_CLUSTER) {
    throw corruptImage(
      where,
      `extended L2 entries need clusters of at least ${MIN_EXTENDED_CLUSTER} bytes, got ${clusterSize}`,
    );
  }
  const needed = Math.ceil(virtualSize / bytesPerL1Entry(header));
  if (l1Size < needed || l1Size * 8 > MAX_L1_BYTES) {
    throw corruptImage(
      where,
      `L1 table has ${l1Size} entries; a disk of ${virtualSize} bytes needs ${needed}, and QEMU allows at most ${MAX_L1_BYTES / 8}`,
    );
  }
  if (refcountOrder > 6) throw corruptImage(where, `refcount order ${refcountOrder} is not in 0 to 6`);
}

function validateTables(header: Qcow2Header, { where, fileSize }: ValidateOptions): void {
  const { clusterSize } = header;
  const requireInside = (name: string, offset: number, length: number): void => {
    if (offset % clusterSize !== 0)
      throw corruptImage(where, `${name} at offset ${offset} is not aligned to the cluster size`);
    if (offset < clusterSize) throw corruptImage(where, `${name} at offset ${offset} overlaps the header`);
    if (offset + length > fileSize) {
      throw corruptImage(
        where,
        `${name} of ${length} bytes at offset ${offset} ends past the end of the file, which has ${fileSize} bytes (${formatBytes(fileSize)})`,
      );
    }
  };
  requireInside('L1 table', header.l1TableOffset, header.l1Size * 8);
  const refcountBytes = header.refcountTableClusters * clusterSize;
  if (refcountBytes === 0 || refcountBytes > MAX_REFCOUNT_TABLE_BYTES) {
    throw corruptImage(where, `refcount table has ${refcountBytes} bytes, expected 1 to ${MAX_REFCOUNT_TABLE_BYTES}`);
  }
  requireInside('refcount table', header.refcountTableOffset, refcountBytes);
  if (header.snapshotCount > MAX_SNAPSHOTS)
    throw corruptImage(where, `${header.snapshotCount} internal snapshots, expected at most ${MAX_SNAPSHOTS}`);
  if (header.snapshotCount > 0) {
    requireInside('snapshot table', header.snapshotsOffset, header.snapshotCount * MIN_SNAPSHOT_BYTES);
  }
}

function warningsOf(header: Qcow2Header, { where }: ValidateOptions): string[] {
  const warnings: string[] = [];
  if (header.features.dirty) {
    warnings.push(`${where} was not closed properly by its writer (dirty bit); its refcounts need a repair`);
  }
  if (header.snapshotCount > 0) {
    warnings.push(`${where} contains ${header.snapshotCount} internal snapshots, which are ignored`);
  }
  return warnings;
}

function unsafeImage(where: string, why: string, hint: string): DatamoverError {
  return new DatamoverError('IMAGE_UNSAFE', `${where}: unsafe image: ${why}`, { hint });
}
