// `qemu-img compare`: do two graphs show the same bytes?
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError } from '../errors.ts';
import { type BlockGraph, toFilename } from './graph.ts';
import { progressReader } from './progress.ts';
import { explain, runTool } from './run.ts';

export interface CompareOptions {
  readonly a: BlockGraph;
  /** Of the same size as `a`. */
  readonly b: BlockGraph;
  /** How that is opened in both which does not say it itself (`cached`): `none` reads what is really on the device. */
  readonly cache: CacheMode;
  readonly onProgress?: (fraction: number) => void;
  readonly signal: AbortSignal;
}

export type Comparison =
  | { readonly identical: true }
  /** `offset`: a multiple of 512, in the graphs' own bytes, at or just before the first byte that differs. */
  | { readonly identical: false; readonly offset: number | undefined };

/** @throws DatamoverError QEMU_FAILED when the comparison could not be made. */
export async function compare({ a, b, cache, onProgress, signal }: CompareOptions): Promise<Comparison> {
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
  throw new DatamoverError('QEMU_FAILED', `qemu-img compare failed${explain(stderr)}`, {
    hint: 'run again with --log-level debug',
  });
}
