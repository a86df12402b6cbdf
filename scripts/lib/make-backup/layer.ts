// One layer: an empty qcow2 file, and the job in push mode that fills it. The daemon makes the file too: a start of qemu-img for each
// layer would be a fifth of the work.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KiB } from '../../../src/units.ts';
import type { StorageDaemon } from './daemon.ts';
import type { LayerFormat, LayerType } from './shape.ts';

export interface NewLayer {
  /** Of the running disk. */
  readonly node: string;
  readonly path: string;
  readonly format: LayerFormat;
  readonly clusterSize: number;
  /** Recorded in the header. */
  readonly backing: string | undefined;
  /** Bytes of the disk. */
  readonly size: number;
}

/**
 * Gives the block node of its file, without flushes, since a machine that dies here just makes it again. An incremental records its
 * backing file from the start, as libvirt's do: QEMU then backs up into a file that has one.
 */
export async function createLayer(
  daemon: StorageDaemon,
  { node, path, format, clusterSize, backing, size }: NewLayer,
): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '');
  const file = `${node}-layer`;
  const cache = { 'no-flush': true };
  await daemon.execute('blockdev-add', { driver: 'file', 'node-name': file, filename: path, cache });
  const options = {
    driver: 'qcow2',
    file,
    size,
    version: format.compat === '0.10' ? 'v2' : 'v3',
    'cluster-size': clusterSize,
    ...(format.extendedL2 ? { 'extended-l2': true } : {}),
    ...(backing === undefined ? {} : { 'backing-file': backing, 'backing-fmt': 'qcow2' }),
  };
  await daemon.runJob('blockdev-create', `${node}-layer-create`, { options });
  return file;
}

export interface BackupRun {
  readonly node: string;
  /** As `createLayer` gave it; gone when the backup is there. */
  readonly file: string;
  readonly type: LayerType;
  readonly compress: boolean;
  /** What changed since the parent. */
  readonly bitmap: string | undefined;
  /** What the layer is written on top of while the job runs: libvirt takes the running disk itself for an incremental. */
  readonly backing: string | null;
}

/** Push mode: QEMU itself writes the layer. */
export async function runBackup(daemon: StorageDaemon, run: BackupRun): Promise<void> {
  const { node, file, type, compress, bitmap, backing } = run;
  const target = `${node}-target`;
  const cache = { 'no-flush': true };
  await daemon.execute('blockdev-add', { driver: 'qcow2', 'node-name': target, file, cache, backing });
  const scope = type === 'full' ? { sync: 'full' } : { sync: 'bitmap', bitmap, 'bitmap-mode': 'never' };
  const job = { device: node, target, compress, ...scope, 'auto-dismiss': false };
  await daemon.runJob('blockdev-backup', `${node}-backup`, job);
  for (const name of [target, file]) await daemon.execute('blockdev-del', { 'node-name': name });
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
