// A layer's file, looked at as a whole: its tables by `qemu-img check`, and that it is not cut short.
import { open } from 'node:fs/promises';
import type { Qcow2Header } from '../qcow2/header.ts';
import { checkImageEnd } from '../qcow2/image-end.ts';
import { type CheckImageResult, checkImage } from '../qemu/check-image.ts';
import { fileNode, loneLayer } from '../qemu/graph.ts';
import { dataEndOf } from '../qemu/info.ts';

export interface ExamineLayerOptions {
  /** The layer's file. */
  readonly path: string;
  /** Its header, which `judgeHeader` let pass. */
  readonly header: Qcow2Header;
  /** Names the layer in messages. */
  readonly where: string;
  readonly signal: AbortSignal;
}

/** @throws DatamoverError IMAGE_CORRUPT, QEMU_FAILED; a system error when the file cannot be read. */
export async function examineLayer({ path, header, where, signal }: ExamineLayerOptions): Promise<CheckImageResult> {
  const result = await checkImage({ image: path, where, signal });
  await using file = await open(path);
  await checkImageEnd(header, {
    where,
    fileSize: (await file.stat()).size,
    imageEndOffset: result.imageEndOffset,
    dataEnd: () => dataEndOf(loneLayer(fileNode(path)), { signal }),
    read: async ({ offset, length }) => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
  });
  return result;
}
