// `qemu-img compare`: do two graphs show the same bytes?
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError } from '../errors.ts';
import { type BlockGraph, toFilename } from './graph.ts';
import { progressReader } from './progress.ts';
import { runTool } from './run.ts';
import { lastErrorLine } from './said.ts';

export interface CompareOptions {
  /** What should be there. */
  readonly a: BlockGraph;
  /** What was written, of the same size as `a`. */
  readonly b: BlockGraph;
  /** How that is opened in both which does not say it itself (`cached`): `none` reads what is really on the device. */
  readonly cache: CacheMode;
  /** What `b` is, for messages. */
  readonly name: string;
  readonly onProgress?: (fraction: number) => void;
  readonly signal: AbortSignal;
}

export type Comparison =
  | { readonly identical: true }
  /** `offset`: a multiple of 512, in the graphs' own bytes, at or just before the first byte that differs. */
  | { readonly identical: false; readonly offset: number | undefined };

/**
 * @throws DatamoverError TARGET_WRITE_FAILED when `b` does not give back what it holds, IMAGE_CORRUPT when `a` cannot be read,
 * TOOL_FAILED when the comparison could not be made otherwise.
 */
export async function compare({ a, b, name, cache, onProgress, signal }: CompareOptions): Promise<Comparison> {
  const args = ['compare', '-p', '-U', '-T', cache, toFilename(a), toFilename(b)];
  const { exitCode, stdout, stderr } = await runTool('qemu-img', args, {
    signal,
    ...(onProgress === undefined ? {} : { onStdout: progressReader(onProgress) }),
  });
  if (exitCode === 0) return { identical: true };
  if (exitCode === 1) {
    const offset = /at offset (\d+)!/.exec(stdout)?.[1];
    return { identical: false, offset: offset === undefined ? undefined : Number(offset) };
  }
  throw toCompareError(stderr, { a, b, name });
}

/** `Error while reading offset 512 of FILE: why`, or `Sector allocation test failed for FILE`, FILE as we gave it. */
function toCompareError(stderr: string, { a, b, name }: Pick<CompareOptions, 'a' | 'b' | 'name'>): DatamoverError {
  const why = lastErrorLine(stderr);
  const unread = (graph: BlockGraph): boolean =>
    [' of ', ' failed for '].some((words) => stderr.includes(`${words}${toFilename(graph)}`));
  if (unread(b)) {
    return new DatamoverError('TARGET_WRITE_FAILED', `${name} cannot be read back${why}`, {
      hint: 'check the kernel log (`dmesg`) for errors of the device, and restore to another one',
    });
  }
  if (unread(a)) {
    return new DatamoverError('IMAGE_CORRUPT', `qemu-img cannot read the chain to compare ${name} with it${why}`, {
      hint: 'get another copy of the layers: a layer or the storage that it is read from is damaged',
    });
  }
  return new DatamoverError('TOOL_FAILED', `qemu-img compare failed${why}`, {
    hint: 'run again with --log-level debug',
  });
}
