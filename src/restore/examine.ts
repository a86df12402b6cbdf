// Are a layer's tables sound, and is its file long enough for them? Asked of the very bytes that qemu-img will read.
import { DatamoverError } from '../errors.ts';
import type { Qcow2Header } from '../qcow2/header.ts';
import { checkImageEnd } from '../qcow2/image-end.ts';
import { checkImage } from '../qemu/check-image.ts';
import { type BlockGraph, fileNode, loneLayer } from '../qemu/graph.ts';
import { dataEndOf } from '../qemu/info.ts';
import type { StagedLayer } from './download.ts';
import type { Range } from './journal.ts';
import { readFileRange } from './layer-file.ts';

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

/** As `examineImage`, of a layer that is taken as it is: of a dirty one just the end of its data is looked for. */
export async function examineUnrepaired(options: ExamineOptions): Promise<Examined> {
  const { image, header, where, fileSize, signal } = options;
  if (!header.features.dirty) return await examineImage(options);
  const end = await dataEndOf(loneLayer(image), { signal });
  if (end <= fileSize) return 'unchecked';
  throw new DatamoverError(
    'IMAGE_CORRUPT',
    `${where} is cut short: its data ends at byte ${end}, the file at ${fileSize}`,
    { hint: 'the layer was not copied whole: take another copy of it' },
  );
}

interface ExamineFileOptions {
  readonly where: string;
  readonly signal: AbortSignal;
}

/** As `examineImage`, of a layer's file in scratch. */
export async function examineFile(layer: StagedLayer, options: ExamineFileOptions): Promise<'clean' | 'leaks'> {
  return await examineImage(ofFile(layer, options));
}

/** As `examineUnrepaired`, of a layer's file in scratch. */
export async function examineFileUnrepaired(layer: StagedLayer, options: ExamineFileOptions): Promise<Examined> {
  return await examineUnrepaired(ofFile(layer, options));
}

function ofFile({ path, checked: { header, info } }: StagedLayer, options: ExamineFileOptions): ExamineOptions {
  const read = async (range: Range): Promise<Uint8Array> => await readFileRange(path, range);
  return { image: fileNode(path), header, fileSize: info.size, read, ...options };
}
