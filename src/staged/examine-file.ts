// Checks the image in a layer's file in scratch.
import { stat } from 'node:fs/promises';
import {
  checkUnrepairedEnd,
  type Examined,
  type ExamineOptions,
  examineImage,
  examineUnrepaired,
  type Findings,
} from '../chain/examine.ts';
import type { CheckImage } from '../qemu/check-many.ts';
import { fileNode } from '../qemu/graph.ts';
import { readFileRange } from '../scratch/files.ts';
import type { ByteRange } from '../units.ts';
import type { StagedLayer } from './download.ts';

export interface ExamineFileOptions {
  /** Names the layer in messages. */
  readonly where: string;
  /** As that of `examineImage`. */
  readonly check?: CheckImage | undefined;
  readonly signal: AbortSignal;
}

/** As `examineImage`, of a layer's file in scratch. */
export async function examineFile(layer: StagedLayer, options: ExamineFileOptions): Promise<Findings> {
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
  const read = async (range: ByteRange): Promise<Uint8Array> => await readFileRange(path, range);
  return { image: fileNode(path), header, fileSize: info.size, read, ...options };
}
