// Are a layer's tables sound, and is its file long enough for them? Asked of the very bytes that qemu-img will read.
import { stat } from 'node:fs/promises';
import type { Qcow2Header } from '../qcow2/header.ts';
import { checkImageEnd } from '../qcow2/image-end.ts';
import { decodeL1 } from '../qcow2/tables.ts';
import { checkImage } from '../qemu/check-image.ts';
import { type BlockGraph, fileNode, loneLayer } from '../qemu/graph.ts';
import { dataEndOf } from '../qemu/info.ts';
import type { Range } from '../scratch/journal.ts';
import type { StagedLayer } from '../staged/download.ts';
import { readFileRange } from '../staged/layer-file.ts';

export interface ExamineOptions {
  /** The node that the layer's bytes come from; it is opened alone, whatever parent its header names. */
  readonly image: BlockGraph;
  readonly header: Qcow2Header;
  /** Bytes. */
  readonly fileSize: number;
  /** Names the layer in messages. */
  readonly where: string;
  /** Bytes of the layer, the range inside of it; for the rare file that ends within its last cluster. */
  readonly read: (range: Range) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
}

/** `leaks` is a suspicion, no damage. IMAGE_CORRUPT for everything else that `qemu-img check` or the file's end shows. */
export async function examineImage(options: ExamineOptions): Promise<'clean' | 'leaks'> {
  const { image, header, where, fileSize, read, signal } = options;
  const { outcome, imageEndOffset } = await checkImage({ image, where, signal });
  const dataEnd = async (): Promise<number> => await dataEndOf(loneLayer(image), { signal });
  await checkImageEnd(header, { where, fileSize, imageEndOffset, dataEnd, read });
  return outcome;
}

/** `unchecked`: its refcounts are wrong by its own account (dirty bit), and it is not to be repaired. */
export type Examined = 'clean' | 'leaks' | 'unchecked';

/** As `examineImage`, of a layer that is taken as it is: of a dirty one just where it ends is looked at. */
export async function examineUnrepaired(options: ExamineOptions): Promise<Examined> {
  if (!options.header.features.dirty) return await examineImage(options);
  await checkUnrepairedEnd(options);
  return 'unchecked';
}

/** IMAGE_CORRUPT when a dirty layer's file ends before its data or its L2 tables do. */
async function checkUnrepairedEnd({ image, header, where, fileSize, read, signal }: ExamineOptions): Promise<void> {
  const dataEnd = await dataEndOf(loneLayer(image), { signal });
  const tables = decodeL1(await read({ offset: header.l1TableOffset, length: header.l1Size * 8 }));
  const imageEndOffset = tables.reduce(
    (end, offset) => (offset === 0 ? end : Math.max(end, offset + header.clusterSize)),
    dataEnd,
  );
  await checkImageEnd(header, { where, fileSize, imageEndOffset, dataEnd: async () => dataEnd, read });
}

export interface ExamineFileOptions {
  /** Names the layer in messages. */
  readonly where: string;
  readonly signal: AbortSignal;
}

/** As `examineImage`, of a layer's file in scratch. */
export async function examineFile(layer: StagedLayer, options: ExamineFileOptions): Promise<'clean' | 'leaks'> {
  // Not the object's size: a repair puts the refcounts that it rebuilt at the file's end.
  const { size: fileSize } = await stat(layer.path);
  return await examineImage({ ...ofFile(layer, options), fileSize });
}

/** As `examineUnrepaired`, of a layer's file in scratch. */
export async function examineFileUnrepaired(layer: StagedLayer, options: ExamineFileOptions): Promise<Examined> {
  return await examineUnrepaired(ofFile(layer, options));
}

/**
 * IMAGE_CORRUPT when a dirty layer's file is cut short. Asked before its repair, which makes the file longer: what was cut
 * off would pass for zeros afterwards.
 */
export async function checkFileUnrepaired(layer: StagedLayer, options: ExamineFileOptions): Promise<void> {
  await checkUnrepairedEnd(ofFile(layer, options));
}

function ofFile({ path, checked: { header, info } }: StagedLayer, options: ExamineFileOptions): ExamineOptions {
  const read = async (range: Range): Promise<Uint8Array> => await readFileRange(path, range);
  return { image: fileNode(path), header, fileSize: info.size, read, ...options };
}
