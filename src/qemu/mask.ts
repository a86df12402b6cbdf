// A mask: a small overlay of ours on top of a graph, which shows its own bytes at the edges and the graph's everywhere
// else. (A raw window over a chain would do for the bytes, but it hides which ranges are zeros: QEMU asks the tip alone
// for their status, so that convert reads every byte of a sparse disk, and compare takes what lies in parents for zeros.)
import { dirname } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { alignDown, alignUp, KiB } from '../units.ts';
import { type BlockGraph, cached, fileNode, type Qcow2Node, toFilename } from './graph.ts';
import { type RunResult, runTool } from './run.ts';
import { isOutOfSpace, isUnwritten, lastErrorLine } from './said.ts';

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

/**
 * Makes the overlay and gives the graph to read through it.
 * @throws DatamoverError SCRATCH_FULL, IMAGE_CORRUPT when the disk cannot be read around its edges, TOOL_FAILED.
 */
export async function makeMask(mask: MaskOptions): Promise<Qcow2Node> {
  const { path, below, size, head, zeros, signal } = mask;
  // Its few clusters are as well read through the page cache, which every file system has.
  const node: Qcow2Node = { driver: 'qcow2', file: cached(fileNode(path), 'writeback'), backing: below };
  const options = { signal, timeoutMs: TIME_LIMIT_MS, cwd: dirname(path) };
  const create = ['create', '-q', '-f', 'qcow2', '-o', `cluster_size=${CLUSTER},compat=1.1`, path, String(size)];
  const created = await runTool('qemu-img', create, options);
  if (created.exitCode !== 0) throw maskError(path, created);
  // qemu-io takes no quotes in its commands, so the head is named relative to its folder.
  const commands = [
    `write -q -s ${head.name} 0 ${head.length}`,
    ...zeros.map(({ offset, length }) => `write -q -z ${offset} ${length}`),
  ];
  const args = ['-t', 'writeback', ...commands.flatMap((command) => ['-c', command]), toFilename(node)];
  const written = await runTool('qemu-io', args, options);
  if (written.exitCode === 0 && !isUnwritten(written.stderr)) return node;
  const unread = await findUnreadable(mask);
  throw unread === undefined || isFull(written) ? maskError(path, written) : unread;
}

const CLUSTER = 64 * KiB;
const TIME_LIMIT_MS = 5 * 60_000;

/** A cluster of the mask that is written in part has its rest from below: can that be read, or is it what failed? */
async function findUnreadable({ below, size, head, zeros, signal }: MaskOptions): Promise<DatamoverError | undefined> {
  const commands = [{ offset: 0, length: head.length }, ...zeros].map(({ offset, length }) => {
    const start = alignDown(offset, CLUSTER);
    return `read -q ${start} ${Math.min(alignUp(offset + length, CLUSTER), size) - start}`;
  });
  const args = ['-r', '-t', 'writeback', ...commands.flatMap((command) => ['-c', command]), toFilename(below)];
  const read = await runTool('qemu-io', args, { signal, timeoutMs: TIME_LIMIT_MS });
  if (read.exitCode === 0) return undefined;
  return new DatamoverError(
    'IMAGE_CORRUPT',
    `qemu-io cannot read the chain at the start and end of the disk${output(read)}`,
    {
      hint: 'get another copy of the layers: a layer or the storage that it is read from is damaged',
    },
  );
}

function maskError(path: string, result: RunResult): DatamoverError {
  const full = isFull(result);
  return new DatamoverError(full ? 'SCRATCH_FULL' : 'TOOL_FAILED', `cannot create ${path}${output(result)}`, {
    hint: full ? 'free some space there, then run the same command again' : 'run again with --log-level debug',
  });
}

function isFull({ stdout, stderr }: RunResult): boolean {
  return isOutOfSpace(stderr) || isOutOfSpace(stdout);
}

/** qemu-io tells what went wrong on stdout. */
function output({ stdout, stderr }: RunResult): string {
  return lastErrorLine(stderr || stdout);
}
