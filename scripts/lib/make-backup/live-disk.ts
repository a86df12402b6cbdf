// One disk of the running "VM": a raw file that only the daemon touches, backed up and changed through it.
import { mkdir, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MiB } from '../../../src/units.ts';
import { runTool } from '../run-tool.ts';
import { stepWrites } from './content.ts';
import type { StorageDaemon } from './daemon.ts';
import { differences } from './difference.ts';
import { makeFileSystemState } from './file-system.ts';
import { createLayer, renewBitmap, runBackup } from './layer.ts';
import { type NbdWrite, writeThroughNbd } from './nbd-client.ts';
import { openOverlay, openRaw } from './running-node.ts';
import type { DiskShape, LayerFormat, LayerType, Writes } from './shape.ts';
import type { Writer } from './writer.ts';

export interface LiveDisk {
  readonly shape: DiskShape;
  /** Goes on to the state of this checkpoint, counted from 1. */
  advance(checkpoint: number): Promise<void>;
  /** Backs it up into a new layer at `path`; its parent is the last one that was written. */
  backUp(checkpoint: number, type: LayerType, path: string): Promise<void>;
  /** Copies it, sparse, to a new file. */
  copyTo(path: string): Promise<void>;
  /** Bytes. */
  size(): number;
}

export interface LiveDiskOptions {
  readonly daemon: StorageDaemon;
  readonly writer: Writer;
  readonly shape: DiskShape;
  /** Unique among the daemon's disks. */
  readonly node: string;
  /** Where the raw file lies. */
  readonly folder: string;
  readonly seed: string;
  readonly signal: AbortSignal;
}

/** Opens a disk of zeroes. */
export async function openLiveDisk(options: LiveDiskOptions): Promise<LiveDisk> {
  const { daemon, writer, shape, node, folder, seed, signal } = options;
  const first = shape.from ?? 1;
  let size = shape.size;
  let bitmap: string | undefined;
  const clusterSize = shape.clusterSize ?? writer.clusterSize;
  const place = { daemon, name: node, path: join(folder, node), size, signal };
  const running = await (writer.overlay ? openOverlay({ ...place, clusterSize }) : openRaw(place));
  // Exported only while it is written to: an exported node cannot be resized.
  const write = (writes: Iterable<NbdWrite> | AsyncIterable<NbdWrite>): Promise<void> =>
    daemon.withExport(node, { type: 'nbd', name: node, writable: true }, () =>
      writeThroughNbd(daemon.nbdSocket, node, writes),
    );

  return {
    shape,
    size: () => size,
    advance: async (checkpoint) => {
      const resized = shape.resize?.[checkpoint];
      if (resized !== undefined) {
        size = resized;
        await running.resize(size);
      }
      refuseLostZeroes(shape, checkpoint, writesAt(shape, checkpoint, size));
      if (shape.fileSystem) {
        const next = await nextState({ shape, folder, node, count: checkpoint - first + 1, seed, signal });
        await write(differences(running.raw, next));
        return;
      }
      const compressible = formatAt(shape, checkpoint).compressed ?? false;
      const edges = checkpoint === first;
      const step = { key: `${seed} ${shape.name} ${checkpoint}`, size, compressible, edges };
      const writes = writesAt(shape, checkpoint, size);
      if (writes !== 'nothing') await write(stepWrites(step, writes));
    },
    backUp: async (checkpoint, type, path) => {
      const format = formatAt(shape, checkpoint);
      const recorded = writer.backingOf(shape, format, type);
      const cluster = format.clusterSize ?? writer.clusterSize;
      await createLayer({ path, format, clusterSize: cluster, backing: recorded, size, signal });
      const backing = writer.overlay && type === 'incremental' ? node : null;
      await runBackup(daemon, { node, path, type, compress: format.compressed ?? false, bitmap, backing });
      const { overlay } = writer;
      bitmap = await renewBitmap(daemon, { node, next: `changes-${checkpoint}`, last: bitmap, overlay });
    },
    copyTo: async (path) => {
      await mkdir(dirname(path), { recursive: true });
      await runTool('cp', ['--sparse=auto', '--', running.raw, path], { signal });
      // QEMU lengthens the data file of an overlay to a whole cluster.
      await truncate(path, size);
    },
  };
}

function formatAt(shape: DiskShape, checkpoint: number): LayerFormat {
  return { ...shape, ...shape.formats?.[checkpoint] };
}

/**
 * Version 2 has no zero clusters: asked to back zeroes up into an incremental that has no backing file, QEMU leaves the
 * cluster out, and the parent's bytes come back at a restore (measured with 7.2). Such a history is no backup.
 */
function refuseLostZeroes(shape: DiskShape, checkpoint: number, writes: Writes | 'nothing'): void {
  if (formatAt(shape, checkpoint).compat !== '0.10' || checkpoint === (shape.from ?? 1)) return;
  const zeroes = writes === 'nothing' ? 0 : (writes.zero ?? 0) + (writes.discard ?? 0);
  if (!shape.fileSystem && zeroes === 0) return;
  throw new Error(`${shape.name}: an incremental of compat 0.10 cannot hold zeroes: no zero, discard or fs with it`);
}

function writesAt(shape: DiskShape, checkpoint: number, size: number): (Writes & { bytes: number }) | 'nothing' {
  const isFirst = checkpoint === (shape.from ?? 1);
  const bytes = isFirst ? Math.min(size / 4, 16 * MiB) : Math.min(size / 32, 2 * MiB);
  const writes = shape.at?.[checkpoint] ?? (isFirst ? shape.initial : shape.changes);
  return writes === 'nothing' ? writes : { bytes, ...writes };
}

interface NextState {
  readonly shape: DiskShape;
  readonly folder: string;
  readonly node: string;
  /** Counted from 1 at the disk's first. */
  readonly count: number;
  readonly seed: string;
  readonly signal: AbortSignal;
}

async function nextState({ shape, folder, node, count, seed, signal }: NextState): Promise<string> {
  const path = join(folder, `${node}.state-${count}`);
  const previous = join(folder, `${node}.state-${count - 1}`);
  const options = { path, size: shape.size, disk: shape.name, checkpoint: count, seed, signal };
  await makeFileSystemState(count === 1 ? options : { ...options, previous });
  await rm(previous, { force: true });
  return path;
}
