// The backups that the bench restores: seeded, made by a real QEMU, kept for the next run where `--data` says so. All but one
// are like another writer's, without blanks: every stored byte is data, so a rate means the same for each contender.
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MiB } from '../../../src/units.ts';
import { chainOf, makeBackup } from '../make-backup/make.ts';
import type { BackupShape, DiskShape } from '../make-backup/shape.ts';

export interface DataDisk {
  readonly name: string;
  /** Bytes of the restored disk. */
  readonly virtualSize: number;
  readonly layers: readonly { checkpoint: string; type: 'full' | 'incremental'; object: string; size: number }[];
  /** The true disk. */
  readonly truth: string;
}

export interface DataSet {
  /** The folder under the data folder, which the server shows as a bucket. */
  readonly bucket: string;
  readonly disks: readonly DataDisk[];
  /** Bytes of all layers. */
  readonly size: number;
  /** Bytes of guest data that the tips show, told apart from holes by the true disks' blocks. */
  readonly visible: number;
}

const layerSchema = z.object({
  checkpoint: z.string(),
  type: z.enum(['full', 'incremental']),
  object: z.string(),
  size: z.number(),
});
const setSchema = z.object({
  bucket: z.string(),
  disks: z.array(
    z.object({ name: z.string(), virtualSize: z.number(), layers: z.array(layerSchema), truth: z.string() }),
  ),
  size: z.number(),
  visible: z.number(),
});

/** Gives the data set of that name, made if it is not there yet. */
export async function dataSet(folder: string, name: string, shape: BackupShape, signal: AbortSignal): Promise<DataSet> {
  const record = join(folder, `${name}.json`);
  if (existsSync(record)) return setSchema.parse(JSON.parse(await readFile(record, 'utf8')));
  await mkdir(folder, { recursive: true });
  await rm(join(folder, name), { recursive: true, force: true });
  const options = { bucket: join(folder, name), truth: join(folder, `${name}.truth`), keep: 'last', signal } as const;
  const made = await makeBackup(shape, options);
  const tip = made.checkpoints.at(-1);
  const disks = (tip?.layers ?? []).map(({ disk, virtualSize, truth }): DataDisk => {
    const layers = chainOf(made, tip?.backup ?? '', disk).map(({ checkpoint, type, object, size }) => {
      return { checkpoint, type, object, size };
    });
    return { name: disk, virtualSize, layers, truth };
  });
  const size = disks.flatMap(({ layers }) => layers).reduce((sum, layer) => sum + layer.size, 0);
  const set = { bucket: name, disks, size, visible: await bytesOf(disks) };
  await writeFile(record, JSON.stringify(set));
  return set;
}

async function bytesOf(disks: readonly DataDisk[]): Promise<number> {
  let sum = 0;
  for (const { truth } of disks) sum += (await stat(truth)).blocks * 512;
  return sum;
}

/** A full and 8 incrementals of `bytes` in all: scattered 64 KiB changes and, in every other layer, runs of 1 MiB. */
export function mainShape(bytes: number): BackupShape {
  const change = roundTo(bytes / 24);
  const full = roundTo(bytes - 8 * change);
  const runs = { bytes: change, pattern: 'runs' } as const;
  const disk: DiskShape = {
    name: 'rootdisk',
    size: roundTo(full * 1.25),
    initial: { bytes: full, pattern: 'runs' },
    changes: { bytes: change },
    at: { 2: runs, 4: runs, 6: runs, 8: runs },
  };
  return { like: 'other', disks: [disk], checkpoints: 9 };
}

/** What KubeVirt makes: a full as large as the disk, of which a fifth is data, in clusters of 256 KiB; changes, zeroes and discards after it. */
export function denseShape(bytes: number): BackupShape {
  const size = roundTo(bytes);
  const change = roundTo(bytes / 50);
  const disk: DiskShape = {
    name: 'rootdisk',
    size,
    initial: { bytes: roundTo(size / 5), pattern: 'runs' },
    changes: { bytes: change, zero: roundTo(change / 4), discard: roundTo(change / 4) },
  };
  return { like: 'kubevirt', disks: [disk], checkpoints: 4 };
}

/** What start-up decides about. */
export function smallShape(): BackupShape {
  const disk: DiskShape = {
    name: 'rootdisk',
    size: 64 * MiB,
    initial: { bytes: 48 * MiB, pattern: 'runs' },
    changes: { bytes: 4 * MiB },
  };
  return { like: 'other', disks: [disk], checkpoints: 4 };
}

/** A full whose first half is written anew by four incrementals. */
export function hiddenShape(bytes: number): BackupShape {
  const full = roundTo(bytes / 1.5);
  const part = (index: number): readonly [number, number] => [
    roundTo((full * index) / 8),
    roundTo((full * (index + 1)) / 8),
  ];
  const at = Object.fromEntries(
    [0, 1, 2, 3].map((index) => [index + 2, { bytes: full, pattern: 'runs' as const, region: part(index) }]),
  );
  const disk: DiskShape = { name: 'rootdisk', size: full, initial: { bytes: full, pattern: 'runs' }, at };
  return { like: 'other', disks: [disk], checkpoints: 5 };
}

/** `layers` layers that hold the same bytes however many they are: half in the full, half in the incrementals. */
export function layersShape(layers: number, bytes: number): BackupShape {
  const changes = { bytes: Math.ceil(bytes / 2 / (layers - 1)) };
  const disk: DiskShape = { name: 'rootdisk', size: bytes, initial: { bytes: bytes / 2 }, changes };
  return { like: 'other', disks: [disk], checkpoints: layers };
}

/** A disk of `size` bytes that holds so many in its full. */
export function emptyShape(size: number, bytes: number): BackupShape {
  const initial = { bytes, pattern: 'runs' } as const;
  const disk: DiskShape = { name: 'rootdisk', size, initial, changes: { bytes: 4 * MiB } };
  return { like: 'other', disks: [disk], checkpoints: 3 };
}

/** `count` disks of 32 MiB in each of three layers. */
export function disksShape(count: number): BackupShape {
  const disk = (index: number): DiskShape => {
    return { name: `disk${index}`, size: 32 * MiB, initial: { bytes: 24 * MiB }, changes: { bytes: 4 * MiB } };
  };
  const others = Array.from({ length: count - 1 }, (_, index) => disk(index + 1));
  return { like: 'other', disks: [disk(0), ...others], checkpoints: 3 };
}

function roundTo(bytes: number): number {
  return Math.ceil(bytes / MiB) * MiB;
}
