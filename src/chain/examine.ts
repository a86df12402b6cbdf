// Are a layer's tables sound, and is its file long enough for them? Asked of the very bytes that qemu-img will read.
import { HEADER_READ_BYTES, parseHeader, type Qcow2Header } from '../qcow2/header.ts';
import { checkImageEnd } from '../qcow2/image-end.ts';
import { decodeL1 } from '../qcow2/tables.ts';
import { checkImage } from '../qemu/check-image.ts';
import type { CheckImage } from '../qemu/check-many.ts';
import { type BlockGraph, loneLayer } from '../qemu/graph.ts';
import { dataEndOf } from '../qemu/info.ts';
import type { ByteRange } from '../units.ts';

export interface ExamineOptions {
  /** The node that the layer's bytes come from; it is opened alone, whatever parent its header names. */
  readonly image: BlockGraph;
  readonly header: Qcow2Header;
  /** Bytes. */
  readonly fileSize: number;
  /** Names the layer in messages. */
  readonly where: string;
  /** Bytes of the layer, the range inside of it; for the rare file that ends within its last cluster. */
  readonly read: (range: ByteRange) => Promise<Uint8Array>;
  /** Checks the image; `checkImage` by default. */
  readonly check?: CheckImage | undefined;
  readonly signal: AbortSignal;
}

/** What was found of a layer's tables. */
export interface Findings<State extends string = 'clean' | 'leaks'> {
  /** `leaks` is a suspicion, no damage. */
  readonly state: State;
  /** How many clusters are compressed; undefined where that is not known. */
  readonly compressedClusters: number | undefined;
  /** How many clusters of data it holds; undefined where that is not known. */
  readonly allocatedClusters: number | undefined;
}

/** IMAGE_CORRUPT for all that `qemu-img check` or the file's end shows, leaks apart. */
export async function examineImage(options: ExamineOptions): Promise<Findings> {
  const { image, header, where, fileSize, read, check = checkImage, signal } = options;
  const { outcome, imageEndOffset, compressedClusters, allocatedClusters } = await check({ image, where, signal });
  const dataEnd = async (): Promise<number> => await dataEndOf(loneLayer(image), { signal });
  await checkImageEnd(header, { where, fileSize, imageEndOffset, dataEnd, read });
  return { state: outcome, compressedClusters, allocatedClusters };
}

/** As `examineImage`, of an image that this program made: its header is read too. */
export async function examineWritten(options: Omit<ExamineOptions, 'header'>): Promise<Findings> {
  const header = parseHeader(await options.read({ offset: 0, length: HEADER_READ_BYTES }), options.where);
  return await examineImage({ ...options, header });
}

/** `unchecked`: its refcounts are wrong by its own account (dirty bit), and it is not to be repaired. */
type ExaminedState = 'clean' | 'leaks' | 'unchecked';
export type Examined = Findings<ExaminedState>;

/** As `examineImage`, of a layer that is taken as it is: of a dirty one just where it ends is looked at. */
export async function examineUnrepaired(options: ExamineOptions): Promise<Examined> {
  if (!options.header.features.dirty) return await examineImage(options);
  await checkUnrepairedEnd(options);
  return { state: 'unchecked', compressedClusters: undefined, allocatedClusters: undefined };
}

/** IMAGE_CORRUPT when a dirty layer's file ends before its data or its L2 tables do. */
export async function checkUnrepairedEnd({
  image,
  header,
  where,
  fileSize,
  read,
  signal,
}: ExamineOptions): Promise<void> {
  const dataEnd = await dataEndOf(loneLayer(image), { signal });
  const tables = decodeL1(await read({ offset: header.l1TableOffset, length: header.l1Size * 8 }));
  const imageEndOffset = tables.reduce(
    (end, offset) => (offset === 0 ? end : Math.max(end, offset + header.clusterSize)),
    dataEnd,
  );
  await checkImageEnd(header, { where, fileSize, imageEndOffset, dataEnd: async () => dataEnd, read });
}

/** What people are told of a layer that is not clean. */
export function imageWarning({ state }: Examined, where: string): string | undefined {
  if (state === 'clean') return undefined;
  if (state === 'leaks') return `${where} has leaked clusters; harmless for the restore, but unexpected in a backup`;
  return `${where} was not closed cleanly (dirty bit): its refcounts are not checked, since the source is read-only`;
}
