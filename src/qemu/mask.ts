// A mask: a small overlay of ours on top of a graph, which shows its own bytes at the edges and the graph's everywhere
// else. (A raw window over a chain would do for the bytes, but it hides which ranges are zeros: QEMU asks the tip alone
// for their status, so that convert reads every byte of a sparse disk, and compare takes what lies in parents for zeros.)
import { dirname } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { type BlockGraph, cached, fileNode, type Qcow2Node, toFilename } from './graph.ts';
import { explain, runTool } from './run.ts';

export interface MaskOptions {
  /** Where the overlay is made: a path of ours that does not exist yet. */
  readonly path: string;
  /** What it lies on. */
  readonly below: BlockGraph;
  /** Bytes of the disk. */
  readonly size: number;
  /** A file of ours in the overlay's folder, under a plain name, whose bytes show from 0 on. */
  readonly head: { readonly name: string; readonly length: number };
  /** What reads as zeros besides; inside of the disk. */
  readonly zeros: readonly { readonly offset: number; readonly length: number }[];
  readonly signal: AbortSignal;
}

/** Makes the overlay and gives the graph to read through it. @throws DatamoverError SCRATCH_FULL, QEMU_FAILED. */
export async function makeMask({ path, below, size, head, zeros, signal }: MaskOptions): Promise<Qcow2Node> {
  // Its few clusters are as well read through the page cache, which every file system has.
  const node: Qcow2Node = { driver: 'qcow2', file: cached(fileNode(path), 'writeback'), backing: below };
  const options = { signal, timeoutMs: TIME_LIMIT_MS, cwd: dirname(path) };
  const create = ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=65536,compat=1.1', path, String(size)];
  judge(path, await runTool('qemu-img', create, options));
  // qemu-io takes no quotes in its commands, so the head is named relative to its folder.
  const commands = [
    `write -q -s ${head.name} 0 ${head.length}`,
    ...zeros.map(({ offset, length }) => `write -q -z ${offset} ${length}`),
  ];
  const args = ['-t', 'writeback', ...commands.flatMap((command) => ['-c', command]), toFilename(node)];
  judge(path, await runTool('qemu-io', args, options));
  return node;
}

const TIME_LIMIT_MS = 5 * 60_000;

function judge(path: string, { exitCode, stdout, stderr }: { exitCode: number; stdout: string; stderr: string }): void {
  if (exitCode === 0) return;
  const full = stderr.includes('No space left on device') || stdout.includes('No space left on device');
  throw new DatamoverError(full ? 'SCRATCH_FULL' : 'QEMU_FAILED', `cannot make ${path}${explain(stderr || stdout)}`, {
    hint: full ? 'free some space there, then run the same command again' : 'run again with --log-level debug',
  });
}
