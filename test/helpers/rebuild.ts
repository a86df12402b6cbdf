// The path that a hostile layer takes: judged, rebased, examined, converted, with nothing else around it.
import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { examineImage } from '../../src/chain/examine.ts';
import { HEADER_READ_BYTES, parseHeader } from '../../src/qcow2/header.ts';
import { validateChain, validateHeader } from '../../src/qcow2/judge.ts';
import { checkImage } from '../../src/qemu/check-image.ts';
import { convert } from '../../src/qemu/convert.ts';
import { fileNode, rawNode, rebasedChain } from '../../src/qemu/graph.ts';
import { rebaseUnsafe } from '../../src/qemu/rebase.ts';
import { MiB } from '../../src/units.ts';

/** Makes `out` the disk of the chain, or rejects as the program would. The layers are changed. */
export async function rebuild(
  layers: readonly string[],
  out: string,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const headers = await Promise.all(layers.map(readHeader));
  for (const [index, header] of headers.entries()) {
    const where = layers[index] ?? '';
    validateHeader(header, { where, fileSize: (await stat(where)).size, base: index === 0 });
  }
  validateChain(headers.map((header, index) => ({ header, where: layers[index] ?? '' })));
  for (const [index, image] of layers.entries()) {
    if (headers[index]?.features.dirty === true) await checkImage({ image, repair: 'all', signal });
    const backing = layers[index - 1];
    if (backing !== undefined) await rebaseUnsafe({ image, backing, signal });
  }
  for (const where of layers) await examine(where, signal);
  await writeFile(out, '');
  await truncate(out, headers.at(-1)?.virtualSize ?? 0);
  await convert({
    source: rebasedChain(fileNode(layers.at(-1) ?? ''), { layers: layers.length, l2CacheSize: MiB }),
    target: rawNode(fileNode(out)),
    destination: { kind: 'target', name: out },
    cache: 'writeback',
    signal,
  });
}

async function examine(where: string, signal: AbortSignal): Promise<void> {
  const header = await readHeader(where);
  const bytes = await readFile(where);
  const read = async ({ offset, length }: { offset: number; length: number }) =>
    bytes.subarray(offset, offset + length);
  await examineImage({ image: fileNode(where), header, fileSize: bytes.length, where, read, signal });
}

async function readHeader(path: string) {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_READ_BYTES), 0, HEADER_READ_BYTES, 0);
  return parseHeader(buffer.subarray(0, bytesRead), path);
}
