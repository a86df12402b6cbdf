// Makes a backup as KubeVirt's QEMU makes it, in the operator's bucket layout, and keeps the true disk at each checkpoint.
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { mapBounded } from '../../../src/concurrency.ts';
import { writeCatalog } from './catalog.ts';
import { withStorageDaemon } from './daemon.ts';
import { type LiveDisk, openLiveDisk } from './live-disk.ts';
import type { BackupShape, LayerType, MadeBackup, MadeCheckpoint, MadeLayer } from './shape.ts';
import { WRITERS, type Writer } from './writer.ts';

export interface MakeOptions {
  /** The folder that stands for the bucket; made when it is missing. */
  readonly bucket: string;
  /** Where the true disks go: `<checkpoint>/<disk>.raw`, sparse. */
  readonly truth: string;
  /** Which of them are kept: a copy each time is the larger part of the work with large disks. Default: `all`. */
  readonly keep?: 'all' | 'last' | 'none';
  readonly signal?: AbortSignal;
}

/**
 * Runs a VM's history through one qemu-storage-daemon: for every checkpoint the disks change, are backed up and are
 * copied. A second VM may be made into the same bucket. Rejects with whatever qemu says.
 */
export async function makeBackup(shape: BackupShape, options: MakeOptions): Promise<MadeBackup> {
  const { bucket, truth, keep = 'all', signal = new AbortController().signal } = options;
  const { namespace = 'demo', vm = 'web', prefix = '' } = shape;
  const place = { namespace, vm, bucket, prefix, directory: join(bucket, prefix) };
  const writer = WRITERS[shape.like ?? 'kubevirt'];
  for (const disk of shape.disks) writer.refuse(disk);
  // Beside the true disks, not in the temp folder, which may be small.
  await mkdir(truth, { recursive: true });
  const folder = await mkdtemp(join(truth, '.live-'));
  try {
    const checkpoints = await withStorageDaemon({ signal }, async (daemon) => {
      const disks = await Promise.all(
        shape.disks.map((disk, index) =>
          openLiveDisk({ daemon, writer, shape: disk, node: `disk${index}`, folder, seed: shape.seed ?? '1', signal }),
        ),
      );
      return runHistory({ shape, writer, disks, place, truth, keep, signal });
    });
    const backup = { ...place, checkpoints };
    await writeCatalog(backup, shape);
    return backup;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The layers that restore a disk at the checkpoint that `backup` was taken of, full first. */
export function chainOf(made: MadeBackup, backup: string, disk: string): MadeLayer[] {
  const tip = made.checkpoints.find((checkpoint) => checkpoint.backup === backup);
  if (tip === undefined) throw new Error(`no ${backup} was made`);
  const layers = made.checkpoints.filter(({ id }) => tip.chain.includes(id)).flatMap((checkpoint) => checkpoint.layers);
  return layers.filter((layer) => layer.disk === disk);
}

type Place = Omit<MadeBackup, 'checkpoints'>;

interface History {
  readonly shape: BackupShape;
  readonly writer: Writer;
  readonly disks: readonly LiveDisk[];
  readonly place: Place;
  readonly truth: string;
  readonly keep: 'all' | 'last' | 'none';
  readonly signal: AbortSignal;
}

async function runHistory({ shape, writer, disks, place, truth, keep, signal }: History): Promise<MadeCheckpoint[]> {
  const checkpoints: MadeCheckpoint[] = [];
  const last = shape.checkpoints ?? 4;
  for (let number = 1; number <= last; number += 1) {
    const isKept = keep === 'all' || (keep === 'last' && number === last);
    const identity = identify(number, { shape, writer, last: checkpoints.at(-1) });
    const present = disks.filter((disk) => (disk.shape.from ?? 1) <= number);
    const layers = await mapBounded(present, { limit: 4, signal }, (disk) =>
      takeLayer(disk, { number, writer, identity, place, truth, isKept }),
    );
    checkpoints.push({ ...identity, layers });
  }
  return checkpoints;
}

type Identity = Omit<MadeCheckpoint, 'layers'>;

interface Naming {
  readonly shape: BackupShape;
  readonly writer: Writer;
  readonly last: MadeCheckpoint | undefined;
}

function identify(number: number, { shape: { fullEvery }, writer, last }: Naming): Identity {
  const digits = String(number).padStart(3, '0');
  const timestamp = new Date(Date.UTC(2025, 10, number, 2, 0, 0)).toISOString().replace('.000', '');
  const vmBackup = `vmb-${digits}`;
  const id = writer.checkpointId(digits, vmBackup, timestamp);
  const own = { backup: `backup-${digits}`, id, vmBackup, timestamp };
  if (last === undefined || (fullEvery !== undefined && (number - 1) % fullEvery === 0)) {
    return { ...own, type: 'full', forced: last !== undefined, chain: [id] };
  }
  return { ...own, type: 'incremental', parent: last.id, chain: [...last.chain, id] };
}

interface Taking {
  readonly number: number;
  readonly writer: Writer;
  readonly identity: Identity;
  readonly place: Place;
  readonly truth: string;
  readonly isKept: boolean;
}

async function takeLayer(disk: LiveDisk, taking: Taking): Promise<MadeLayer> {
  const { number, writer, identity, place, truth, isKept } = taking;
  const { name, pvc = writer.pvcOf(place.vm, name), from = 1 } = disk.shape;
  const type: LayerType = number === from ? 'full' : identity.type;
  const folder = `checkpoints/${place.namespace}/${place.vm}/${identity.id}`;
  const object = `${folder}/${identity.vmBackup}-${name}.qcow2`;
  const path = join(place.directory, object);
  const kept = join(truth, identity.id, `${name}.raw`);
  await disk.advance(number);
  await disk.backUp(number, type, path);
  if (isKept) await disk.copyTo(kept);
  const { size } = await stat(path);
  const common = { disk: name, pvc, checkpoint: identity.id, type, object, path, size };
  return { ...common, virtualSize: disk.size(), truth: kept };
}
