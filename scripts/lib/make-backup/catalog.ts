// The bucket's documents as the operator writes them: index, manifests, archived CRs (design section 3).
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { systemCode } from '../../../src/errors.ts';
import { backupResource, trackerResource } from './resources.ts';
import type { BackupShape, MadeBackup, MadeCheckpoint, MadeLayer } from './shape.ts';

/** Writes every document of one VM's history. A backup that other VMs are in already gets this one added. */
export async function writeCatalog(made: MadeBackup, shape: BackupShape): Promise<void> {
  const vmFolder = `checkpoints/${made.namespace}/${made.vm}`;
  const entries = made.checkpoints.map((checkpoint) => indexEntry(made, shape, checkpoint));
  const lastUpdated = made.checkpoints.at(-1)?.timestamp;
  const index = { vmName: made.vm, namespace: made.namespace, lastUpdated, checkpoints: entries };
  await writeJson(join(made.directory, vmFolder, 'index.json'), index);
  for (const checkpoint of made.checkpoints) {
    const folder = join(made.directory, vmFolder, checkpoint.id);
    await writeJson(join(folder, 'vmb.json'), backupResource(made, checkpoint));
    await writeJson(join(folder, 'vmbt.json'), trackerResource(made, checkpoint));
    await writeManifests(made, shape, checkpoint);
  }
}

function indexEntry(made: MadeBackup, shape: BackupShape, checkpoint: MadeCheckpoint): object {
  const folder = `checkpoints/${made.namespace}/${made.vm}/${checkpoint.id}`;
  const referencedBy = made.checkpoints
    .filter(({ chain }) => chain.includes(checkpoint.id))
    .map(({ backup }) => backup);
  return {
    id: checkpoint.id,
    type: checkpoint.type,
    ...(checkpoint.parent === undefined ? {} : { parent: checkpoint.parent }),
    timestamp: checkpoint.timestamp,
    vmBackup: checkpoint.vmBackup,
    files: checkpoint.layers.map((layer) => fileEntry(layer, shape)),
    pvcs: checkpoint.layers.map(({ pvc }) => pvc),
    pvcSizes: checkpoint.layers.map(({ virtualSize }) => quantity(virtualSize)),
    referencedBy,
    vmbObjectPath: `${folder}/vmb.json`,
    vmbtObjectPath: `${folder}/vmbt.json`,
  };
}

function fileEntry(layer: MadeLayer, { files = 'objects', diskNames = 'complete' }: BackupShape): unknown {
  const filename = basename(layer.object);
  if (files === 'names') return filename;
  const diskName = diskNames === 'cut' ? layer.disk.slice(layer.disk.lastIndexOf('-') + 1) : layer.disk;
  const named = diskNames === 'absent' ? {} : { diskName };
  return { filename, ...named, size: layer.size, objectPath: layer.object };
}

/** Kubernetes writes the shortest exact form. */
function quantity(bytes: number): string {
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti'];
  let value = bytes;
  let unit = 0;
  while (value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value}${units[unit]}`;
}

async function writeManifests(made: MadeBackup, shape: BackupShape, checkpoint: MadeCheckpoint): Promise<void> {
  const { namespace, vm } = made;
  const { backup, timestamp, id, chain } = checkpoint;
  const name = shape.manifestName === 'vm' ? vm : `${namespace}-${vm}`;
  const manifestPath = `manifests/${backup}/${name}.json`;
  const manifest = { namespace, name: vm, backupName: backup, timestamp, checkpointChain: chain };
  await writeJson(join(made.directory, manifestPath), manifest);
  const path = join(made.directory, 'manifests', backup, 'index.json');
  const vms = [...(await vmsAlreadyIn(path)), { name: vm, namespace, checkpointId: id, manifestPath }];
  await writeJson(path, { backupName: backup, timestamp, vms });
}

const BACKUP_INDEX = z.looseObject({ vms: z.array(z.unknown()) });

async function vmsAlreadyIn(path: string): Promise<unknown[]> {
  try {
    return BACKUP_INDEX.parse(JSON.parse(await readFile(path, 'utf8'))).vms;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function writeJson(path: string, document: object): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(document, null, 2)}\n`);
}
