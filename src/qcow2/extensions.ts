// The header extensions of a qcow2 image: type (u32), length (u32), data padded to 8 bytes, until type 0
// (docs/interop/qcow2.txt, "Header extensions"). They end where the backing name starts, else with the first cluster.
import { corruptImage } from './corrupt-image.ts';

export interface HeaderExtensions {
  readonly backingFormat: string | undefined;
  /** The name of an external data file. For messages only: never open it. */
  readonly dataFileName: string | undefined;
  /** Names of incompatible feature bits, by bit, as the image itself gives them (untrusted text). */
  readonly featureNames: ReadonlyMap<number, string>;
  readonly hasBitmaps: boolean;
  readonly hasEncryptionHeader: boolean;
}

const TYPE = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryptionHeader: 0x0537be77,
  dataFileName: 0x44415441,
} as const;

/** A feature name entry: kind (0 = incompatible), bit, 46 bytes of name padded with zeros. */
const FEATURE_ENTRY = 48;

/**
 * Reads the extensions in `start` … `end` of the image, as far as they are within the bytes given.
 * @throws DatamoverError IMAGE_CORRUPT when one reaches past `end`.
 */
export function parseExtensions(
  bytes: Uint8Array,
  { start, end, where }: { readonly start: number; readonly end: number; readonly where: string },
): HeaderExtensions {
  const found = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = start;
  while (offset + 8 <= Math.min(end, bytes.length)) {
    const type = view.getUint32(offset);
    const length = view.getUint32(offset + 4);
    if (type === TYPE.end) break;
    offset += 8;
    if (length > end - offset) {
      throw corruptImage(where, `a header extension of ${length} bytes ends past the end of the header`);
    }
    found.set(type, bytes.subarray(offset, offset + length));
    offset += Math.ceil(length / 8) * 8;
  }
  return {
    backingFormat: decodeName(found.get(TYPE.backingFormat)),
    dataFileName: decodeName(found.get(TYPE.dataFileName)),
    featureNames: parseFeatureNames(found.get(TYPE.featureNames)),
    hasBitmaps: found.has(TYPE.bitmaps),
    hasEncryptionHeader: found.has(TYPE.encryptionHeader),
  };
}

function decodeName(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

function parseFeatureNames(table: Uint8Array | undefined): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  if (table === undefined) return names;
  for (let start = 0; start + FEATURE_ENTRY <= table.length; start += FEATURE_ENTRY) {
    const [kind, bit] = table.subarray(start, start + 2);
    if (kind !== 0 || bit === undefined) continue;
    const name = new TextDecoder().decode(table.subarray(start + 2, start + FEATURE_ENTRY));
    names.set(bit, name.replace(/\0+$/, ''));
  }
  return names;
}
