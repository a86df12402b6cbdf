// How large is the disk that a graph shows?
import { z } from 'zod';
import { DatamoverError } from '../errors.ts';
import { type BlockGraph, toFilename } from './graph.ts';
import { mapImage } from './map.ts';
import { runTool } from './run.ts';
import { lastErrorLine } from './said.ts';

const infoSchema = z.object({ 'virtual-size': z.number().int().nonnegative() });

const TIME_LIMIT_MS = 60_000;

/**
 * The bytes of what `source` shows.
 * @throws DatamoverError IMAGE_CORRUPT when it cannot be opened, TOOL_FAILED.
 */
export async function virtualSizeOf(source: BlockGraph, { signal }: { readonly signal: AbortSignal }): Promise<number> {
  const args = ['info', '-U', '--output=json', toFilename(source)];
  const { exitCode, stdout, stderr } = await runTool('qemu-img', args, { signal, timeoutMs: TIME_LIMIT_MS });
  if (exitCode !== 0) {
    throw new DatamoverError('IMAGE_CORRUPT', `qemu-img cannot open the chain${lastErrorLine(stderr)}`, {
      hint: 'get another copy of the layers: a layer or the storage that it is read from is damaged',
    });
  }
  try {
    return infoSchema.parse(JSON.parse(stdout))['virtual-size'];
  } catch (cause) {
    throw new DatamoverError('TOOL_FAILED', 'unexpected output from qemu-img info: no virtual size', {
      hint: 'check that PATH leads to QEMU (`qemu-img --version`), then run again with --log-level debug',
      cause,
    });
  }
}

/**
 * Where the data that a lone layer uses ends in its file, bytes; compressed clusters are not counted, since qemu-img
 * does not tell where they lie.
 */
export async function dataEndOf(layer: BlockGraph, { signal }: { readonly signal: AbortSignal }): Promise<number> {
  let end = 0;
  for await (const run of mapImage({ source: layer, timeoutMs: MAP_TIME_LIMIT_MS, signal })) {
    if (run.data && run.offset !== undefined) end = Math.max(end, run.offset + run.length);
  }
  return end;
}

const MAP_TIME_LIMIT_MS = 10 * 60_000;
