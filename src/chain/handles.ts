// How many files and threads a restore has at once: known before anything is written. Files grow with the length of the chain.
import type { Problem } from '../errors.ts';
import { countOpenFiles, openFiles, processes, readLimit, readPidsLimit } from '../process-limits.ts';
import { count } from '../units.ts';

/**
 * How often each layer is open in this process. staged: its file, while the layers are downloaded. streamed: a connection of the
 * program of QEMU that reads the chain, while those of the one before may still be closing. (A program has one descriptor a
 * layer itself, and about ten besides: always fewer than this process.)
 */
type Reading = 'staged' | 'streamed';
const PER_LAYER: Readonly<Record<Reading, number>> = { staged: 1, streamed: 2 };

/** Descriptors for what is opened in passing: pipes of a child that is started, the journal, one connection. */
const RESERVE = 24;
/** A connection or a file that is read from, or a child with its pipes. */
const PER_TASK = 3;

/** What is counted of a checked chain. */
export interface CountedChain {
  readonly disk: { readonly name: string };
  readonly layers: readonly unknown[];
}

/** A problem when this process may not open as many files as the longest of the chains needs. */
export function checkOpenFiles(chains: readonly CountedChain[], reading: Reading): Problem[] {
  const longest = chains.toSorted((a, b) => b.layers.length - a.layers.length)[0];
  const limit = readLimit('openFiles')?.soft;
  if (longest === undefined || limit === undefined) return [];
  const layers = longest.layers.length;
  const needed = countOpenFiles() + layers * PER_LAYER[reading] + RESERVE;
  if (needed <= limit) return [];
  const { why, hint } = openFiles(needed);
  const message = `PVC ${longest.disk.name}: cannot open a chain of ${count(layers, 'layer')}: ${why}`;
  return [{ pvc: longest.disk.name, code: 'TOOL_FAILED', message, hint }];
}

/** Fewer threads beside this process's own, and qemu-img does not get as far as its first byte. It may start up to 64. */
const LEAST_THREADS = 16;

/** A problem when the container does not leave room for the threads of one qemu-img. */
export function checkProcesses(): Problem[] {
  const limit = readPidsLimit();
  if (limit === undefined || limit.max - limit.current >= LEAST_THREADS) return [];
  const { why, hint } = processes(LEAST_THREADS);
  return [{ code: 'TOOL_FAILED', message: `qemu-img cannot be started: ${why}, ${limit.current} are in use`, hint }];
}

/**
 * As many of `wanted` tasks at a time as there are descriptors for, at least one; `layers` of a chain are still to be opened
 * beside them.
 */
export function affordableTasks(wanted: number, layers = 0): number {
  const limit = readLimit('openFiles')?.soft;
  if (limit === undefined) return wanted;
  const free = limit - countOpenFiles() - layers * PER_LAYER.streamed - RESERVE;
  return Math.max(1, Math.min(wanted, Math.floor(free / PER_TASK)));
}
