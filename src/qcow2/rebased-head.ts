// The first bytes of an image as `qemu-img rebase -u` would leave them, for serving an image that cannot be written to.
// Field offsets and extensions are those of QEMU's docs/interop/qcow2.txt. Pure.
import { DatamoverError } from '../errors.ts';
import type { Qcow2Header } from './header.ts';

export interface RebasedHeadOptions {
  /** The parent as QEMU opens it; undefined for a base, which has none. Its format is qcow2. */
  readonly backing: string | undefined;
  /** Names the layer in messages. */
  readonly where: string;
}

const V2_LENGTH = 72;
const V3_LENGTH = 104;
/** With the compression type, padded to 8 bytes. */
const V3_LENGTH_COMPRESSION = 112;
const BACKING_FORMAT = 0xe2792aca;
const FORMAT = 'qcow2';
/** An extension's type and length, then its data padded to 8 bytes; one without data ends them. */
const EXTENSIONS_LENGTH = 8 + 8 + 8;
const MAX_BACKING_NAME = 1023;

/**
 * Returns the bytes to show in place of the image's first cluster; the rest of that cluster reads as zeros. The parent is
 * recorded; all other extensions (feature names, bitmaps: never read), the autoclear bits about them and internal snapshots
 * are removed. Every field that determines how the image's own clusters are read is kept.
 * @param head the image's own first bytes, at least 112 of them.
 * @throws DatamoverError IMAGE_CORRUPT when the parent's name does not fit into the cluster.
 */
export function rebasedHead(head: Uint8Array, header: Qcow2Header, { backing, where }: RebasedHeadOptions): Uint8Array {
  const name = new TextEncoder().encode(backing ?? '');
  const length = headerLength(header);
  const nameOffset = length + EXTENSIONS_LENGTH;
  if (name.length > MAX_BACKING_NAME || nameOffset + name.length > header.clusterSize) {
    throw new DatamoverError(
      'IMAGE_CORRUPT',
      `${where}: cannot be streamed: the parent's name of ${name.length} bytes does not fit into the first cluster of ${header.clusterSize} bytes`,
      { hint: 'use --strategy staged, or set TMPDIR to a shorter path' },
    );
  }
  const bytes = new Uint8Array(nameOffset + name.length);
  bytes.set(head.subarray(0, length));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, backing === undefined ? 0n : BigInt(nameOffset));
  view.setUint32(16, name.length);
  view.setUint32(60, 0); // snapshots
  view.setBigUint64(64, 0n);
  if (header.version === 3) {
    view.setBigUint64(88, 0n); // autoclear bits
    view.setUint32(100, length);
  }
  if (backing === undefined) return bytes;
  view.setUint32(length, BACKING_FORMAT);
  view.setUint32(length + 4, FORMAT.length);
  bytes.set(new TextEncoder().encode(FORMAT), length + 8);
  bytes.set(name, nameOffset);
  return bytes;
}

/** Later fields are not defined; a feature bit would announce them if they mattered. */
function headerLength({ version, headerLength: own }: Qcow2Header): number {
  if (version === 2) return V2_LENGTH;
  return own >= V3_LENGTH_COMPRESSION ? V3_LENGTH_COMPRESSION : V3_LENGTH;
}
