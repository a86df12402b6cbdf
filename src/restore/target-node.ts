// What qemu opens to read or write the disk that a target holds.
import { type BlockGraph, deviceNode, fileNode, loneLayer, rawNode } from '../qemu/graph.ts';
import type { Target } from '../target/target.ts';

/** The disk that is stored at `path`: a qcow2 file alone, whatever its header names, or raw bytes. */
export function targetNode({ kind, format }: Pick<Target, 'kind' | 'format'>, path: string): BlockGraph {
  if (kind === 'block') return rawNode(deviceNode(path));
  return format === 'qcow2' ? loneLayer(fileNode(path)) : rawNode(fileNode(path));
}
