// One layer: an empty qcow2 file, and the job in push mode that fills it.
//
// qemu-img makes the file. The daemon would save a process for each layer, but QEMU 7.2 creates images in a coroutine, and aborts when
// the file's node is drained meanwhile by the work of another disk (block/io.c: `!qemu_in_coroutine()`; 2 of 45 backups of 8 disks).
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KiB } from '../../../src/units.ts';
import { runTool } from '../run-tool.ts';
import type { StorageDaemon } from './daemon.ts';
import type { LayerFormat, LayerType } from './shape.ts';

export interface NewLayer {
  readonly path: string;
  readonly format: LayerFormat;
  readonly clusterSize: number;
  /** Recorded in the header. */
  readonly backing: string | undefined;
  /** Bytes of the disk. */
  readonly size: number;
  readonly signal: AbortSignal;
}

/** An incremental records its backing file from the start, as libvirt's do: QEMU then backs up into a file that has one. */
export async function createLayer({ path, format, clusterSize, backing, size, signal }: NewLayer): Promise<void> {
  const options = [`cluster_size=${clusterSize}`, `compat=${format.compat ?? '1.1'}`];
  if (format.extendedL2) options.push('extended_l2=on');
  const records = backing === undefined ? [] : ['-u', '-F', 'qcow2', '-b', backing];
  const args = ['create', '-q', '-f', 'qcow2', '-o', options.join(','), ...records, path, String(size)];
  await mkdir(dirname(path), { recursive: true });
  await runTool('qemu-img', args, { signal });
}

export interface BackupRun {
  readonly node: string;
  readonly path: string;
  readonly type: LayerType;
  readonly compress: boolean;
  /** What changed since the parent. */
  readonly bitmap: string | undefined;
  /** What the layer is written on top of while the job runs: libvirt takes the running disk itself for an incremental. */
  readonly backing: string | null;
}

/** Push mode: QEMU itself writes the layer. No flush at its end, since a machine that dies here just makes it again. */
export async function runBackup(daemon: StorageDaemon, run: BackupRun): Promise<void> {
  const { node, path, type, compress, bitmap, backing } = run;
  const target = `${node}-target`;
  const cache = { 'no-flush': true };
  const file = { driver: 'file', filename: path, cache };
  await daemon.execute('blockdev-add', { driver: 'qcow2', 'node-name': target, file, cache, backing });
  const scope = type === 'full' ? { sync: 'full' } : { sync: 'bitmap', bitmap, 'bitmap-mode': 'never' };
  const job = { device: node, target, compress, ...scope, 'auto-dismiss': false };
  await daemon.runJob('blockdev-backup', `${node}-backup`, job);
  await daemon.execute('blockdev-del', { 'node-name': target });
}

/** QEMU's own choice is the overlay's cluster; a raw disk has none. */
const RAW_GRANULARITY = 64 * KiB;

/** Starts to record changes into `next`, forgets `last`, and returns `next`. */
export async function renewBitmap(
  daemon: StorageDaemon,
  bitmap: {
    readonly node: string;
    readonly next: string;
    readonly last: string | undefined;
    readonly overlay: boolean;
  },
): Promise<string> {
  const { node, next, last, overlay } = bitmap;
  const granularity = overlay ? {} : { granularity: RAW_GRANULARITY };
  await daemon.execute('block-dirty-bitmap-add', { node, name: next, ...granularity });
  if (last !== undefined) await daemon.execute('block-dirty-bitmap-remove', { node, name: last });
  return next;
}
