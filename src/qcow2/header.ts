// Parses the qcow2 header; judge.ts validates it. Field offsets, feature bits and extensions are those of QEMU's
// docs/interop/qcow2.txt; all integers are big-endian. Pure: reads no file.
import { safeNumber } from '../units.ts';
import { corruptImage } from './corrupt-image.ts';
import { type HeaderExtensions, parseExtensions } from './extensions.ts';

/**
 * How many first bytes of a layer to read for `parseHeader` (all of them when the layer is smaller). Header, extensions
 * and a usual backing name fit; the last two are only shown in messages, so truncating them is harmless.
 */
export const HEADER_READ_BYTES = 4096;

interface BackingName {
  readonly offset: number;
  /** Bytes; the format allows 1023. */
  readonly length: number;
  /** Undefined when it is beyond the bytes that were given. For messages only: never open it. */
  readonly name: string | undefined;
}

export interface Qcow2Header extends HeaderExtensions {
  readonly version: 2 | 3;
  /** 9…21. */
  readonly clusterBits: number;
  /** Bytes, 512…2 MiB. */
  readonly clusterSize: number;
  /** Bytes of the disk. */
  readonly virtualSize: number;
  /** The parent that the header names; undefined when it names none. */
  readonly backing: BackingName | undefined;
  /** 0 none, 1 AES, 2 LUKS. */
  readonly cryptMethod: number;
  /** Entries of 8 bytes. */
  readonly l1Size: number;
  readonly l1TableOffset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  /** A refcount has 2^order bits. */
  readonly refcountOrder: number;
  readonly snapshotCount: number;
  readonly snapshotsOffset: number;
  readonly headerLength: number;
  /** 0 zlib, 1 zstd. */
  readonly compressionType: number;
  readonly features: Qcow2Features;
}

/** The incompatible feature bits; those that this program does not know are in `unknown`. */
interface Qcow2Features {
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly externalData: boolean;
  readonly compressionType: boolean;
  readonly extendedL2: boolean;
  readonly unknown: readonly number[];
}

const MAGIC = 0x514649fb;
const V2_LENGTH = 72;
const V3_LENGTH = 104;
const KNOWN_BITS = 5;

/**
 * Reads a header of version 2 or 3 from a layer's first bytes (any number of them).
 * @param where names the layer in messages.
 * @throws DatamoverError IMAGE_CORRUPT when the bytes are no such header.
 */
export function parseHeader(bytes: Uint8Array, where: string): Qcow2Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = parseVersion(view, where);
  const number64 = (offset: number, field: string): number => {
    const value = safeNumber(view.getBigUint64(offset));
    if (value === undefined) throw corruptImage(where, `${field} exceeds 2^53`);
    return value;
  };
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) throw corruptImage(where, `cluster bits ${clusterBits} are not in 9 to 21`);
  const clusterSize = 2 ** clusterBits;
  const headerLength = version === 2 ? V2_LENGTH : view.getUint32(100);
  if (version === 3 && (headerLength < V3_LENGTH || headerLength > clusterSize)) {
    throw corruptImage(
      where,
      `header length of ${headerLength} bytes is not in ${V3_LENGTH} to the cluster size, ${clusterSize}`,
    );
  }
  const backing = parseBacking(bytes, { offset: number64(8, 'backing file offset'), length: view.getUint32(16) });
  return {
    version,
    clusterBits,
    clusterSize,
    virtualSize: number64(24, 'virtual size'),
    backing,
    cryptMethod: view.getUint32(32),
    l1Size: view.getUint32(36),
    l1TableOffset: number64(40, 'L1 table offset'),
    refcountTableOffset: number64(48, 'refcount table offset'),
    refcountTableClusters: view.getUint32(56),
    refcountOrder: version === 2 ? 4 : view.getUint32(96),
    snapshotCount: view.getUint32(60),
    snapshotsOffset: number64(64, 'snapshot table offset'),
    headerLength,
    compressionType: headerLength > V3_LENGTH && bytes.length > V3_LENGTH ? view.getUint8(V3_LENGTH) : 0,
    features: parseFeatures(version === 2 ? 0n : view.getBigUint64(72)),
    ...parseExtensions(bytes, {
      start: headerLength,
      end: Math.min(clusterSize, backing?.offset ?? clusterSize),
      where,
    }),
  };
}

function parseVersion(view: DataView, where: string): 2 | 3 {
  if (view.byteLength < 8 || view.getUint32(0) !== MAGIC) {
    throw corruptImage(
      where,
      'qcow2 magic not found',
      'not a qcow2 file: inspect the object that was uploaded under this key',
    );
  }
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3)
    throw corruptImage(where, `unsupported qcow2 version ${version}, expected 2 or 3`);
  if (view.byteLength < (version === 2 ? V2_LENGTH : V3_LENGTH))
    throw corruptImage(where, 'the file ends within the header');
  return version;
}

function parseBacking(bytes: Uint8Array, { offset, length }: { offset: number; length: number }) {
  if (offset === 0) return undefined;
  const inside = length <= 1023 && offset + length <= bytes.length;
  const name = inside ? new TextDecoder().decode(bytes.subarray(offset, offset + length)) : undefined;
  return { offset, length, name };
}

function parseFeatures(bits: bigint): Qcow2Features {
  const has = (bit: number): boolean => ((bits >> BigInt(bit)) & 1n) === 1n;
  return {
    dirty: has(0),
    corrupt: has(1),
    externalData: has(2),
    compressionType: has(3),
    extendedL2: has(4),
    unknown: Array.from({ length: 64 - KNOWN_BITS }, (_, index) => index + KNOWN_BITS).filter(has),
  };
}
