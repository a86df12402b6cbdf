// The block node that stands for a running VM's disk: what its guest writes to, and what is backed up.
import { truncate, writeFile } from 'node:fs/promises';
import { runTool } from '../run-tool.ts';
import type { StorageDaemon } from './daemon.ts';

export interface RunningNode {
  readonly name: string;
  /** The raw file with the disk's bytes; may be longer than the disk, by less than a cluster. */
  readonly raw: string;
  /** Makes the disk `size` bytes long. */
  resize(size: number): Promise<void>;
}

export interface RunningNodeOptions {
  readonly daemon: StorageDaemon;
  /** Unique among the daemon's nodes. */
  readonly name: string;
  /** Without an extension: the files are `<path>.live` and, for an overlay, `<path>.overlay`. */
  readonly path: string;
  readonly size: number;
  readonly signal: AbortSignal;
}

/** A plain raw disk of zeroes: QEMU sees its holes. */
export async function openRaw({ daemon, name, path, size }: RunningNodeOptions): Promise<RunningNode> {
  const raw = await sparseFile(`${path}.live`, size);
  const file = { driver: 'file', filename: raw, discard: 'unmap', locking: 'off' };
  await daemon.execute('blockdev-add', { driver: 'raw', 'node-name': name, discard: 'unmap', file });
  const resize = async (to: number): Promise<void> => {
    await daemon.execute('block_resize', { 'node-name': name, size: to });
  };
  return { name, raw, resize };
}

/**
 * A raw disk of zeroes below a qcow2 overlay that keeps its data in it, as KubeVirt runs a VM whose changes are tracked. The
 * overlay's tables say "data" for every cluster from the start, so that QEMU does not see the holes of the raw file: that
 * is why a first full is dense.
 */
export async function openOverlay(
  options: RunningNodeOptions & { readonly clusterSize: number },
): Promise<RunningNode> {
  const { daemon, name, path, size, clusterSize, signal } = options;
  const raw = await sparseFile(`${path}.live`, size);
  const overlay = `${path}.overlay`;
  // A comma ends an option's value, two are one.
  const create = `data_file=${raw.replaceAll(',', ',,')},data_file_raw=on,cluster_size=${clusterSize}`;
  await runTool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', create, overlay, String(size)], { signal });
  const nodes = { file: `${name}-overlay`, 'data-file': `${name}-raw` };
  const file = { driver: 'file', discard: 'unmap', locking: 'off' };
  await daemon.execute('blockdev-add', { ...file, 'node-name': nodes.file, filename: overlay });
  await daemon.execute('blockdev-add', { ...file, 'node-name': nodes['data-file'], filename: raw });
  await daemon.execute('blockdev-add', { driver: 'qcow2', 'node-name': name, discard: 'unmap', ...nodes });
  return { name, raw, resize: (to) => resizeAttached(daemon, name, to) };
}

/**
 * Resizes while a disk device is attached, as in a VM. Without one QEMU 7.2 has no permission to write to the data file,
 * and aborts. An NBD export would not do: it refuses that its node is resized.
 */
async function resizeAttached(daemon: StorageDaemon, node: string, size: number): Promise<void> {
  // Beside the other socket, since a socket's path must be short.
  const addr = { type: 'unix', path: `${daemon.nbdSocket}-${node}` };
  const device = { type: 'vhost-user-blk', addr, writable: true };
  await daemon.withExport(node, device, () => daemon.execute('block_resize', { 'node-name': node, size }));
}

async function sparseFile(path: string, size: number): Promise<string> {
  await writeFile(path, '');
  await truncate(path, size);
  return path;
}
