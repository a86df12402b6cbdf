// The bucket's documents for tests, in the operator's layout, without a qcow2 anywhere: layers are a few bytes.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

interface FileDocument {
  filename: string;
  diskName?: string;
  size: number;
  objectPath: string;
}

/** As the uploader writes it; changeable, so that a test can damage it. */
interface CheckpointDocument {
  id: string;
  type: string;
  parent?: string;
  timestamp: string;
  vmBackup: string;
  files: (FileDocument | string)[];
  pvcs: string[];
  pvcSizes?: string[];
  referencedBy: string[];
}

export interface IndexDocument {
  vmName: string;
  namespace: string;
  checkpoints: CheckpointDocument[];
}

export interface HistoryOptions {
  readonly namespace?: string;
  readonly vm?: string;
  /** Default: objects, as the uploader writes them. */
  readonly files?: 'objects' | 'names';
}

/**
 * An index from a few words, one a checkpoint: `1!root,data 2root,data` is cp-1, a full of both disks, and cp-2, an
 * incremental of both. Checkpoint N is backup bN's tip; the PVC of a disk is named `pvc-<disk>`, a layer has 10 + N bytes.
 */
export function history(
  text: string,
  { namespace = 'demo', vm = 'web', files = 'objects' }: HistoryOptions = {},
): IndexDocument {
  const checkpoints: CheckpointDocument[] = [];
  for (const word of text.split(' ')) {
    const [, number = '', full, disks = ''] = /^(\d+)(!?)(.*)$/.exec(word) ?? [];
    const id = `cp-${number}`;
    const names = disks.split(',').filter((name) => name !== '');
    const parent = full ? undefined : checkpoints.at(-1)?.id;
    const filenames = names.map((name) => `vmb-${number}-${name}.qcow2`);
    const folder = `checkpoints/${namespace}/${vm}/${id}`;
    checkpoints.push({
      id,
      type: full ? 'full' : 'incremental',
      ...(parent === undefined ? {} : { parent }),
      timestamp: new Date(Date.UTC(2026, 0, Number(number))).toISOString(),
      vmBackup: `vmb-${number}`,
      files: filenames.map((filename, position) =>
        files === 'names'
          ? filename
          : {
              filename,
              diskName: names[position] ?? '',
              size: 10 + Number(number),
              objectPath: `${folder}/${filename}`,
            },
      ),
      pvcs: names.map((name) => `pvc-${name}`),
      pvcSizes: names.map(() => '1Gi'),
      referencedBy: [],
    });
  }
  for (const checkpoint of checkpoints) {
    for (const id of chainIds(checkpoints, checkpoint)) id.referencedBy.push(`b${checkpoint.id.slice(3)}`);
  }
  return { vmName: vm, namespace, checkpoints };
}

function chainIds(checkpoints: readonly CheckpointDocument[], tip: CheckpointDocument): CheckpointDocument[] {
  const chain = [tip];
  for (let at = tip; at.parent !== undefined; ) {
    const parent = checkpoints.find(({ id }) => id === at.parent);
    if (parent === undefined) break;
    chain.unshift(parent);
    at = parent;
  }
  return chain;
}

/** Writes index, manifests and layers of a history into the folder, as the operator does. */
export async function writeHistory(folder: string, index: IndexDocument): Promise<void> {
  const { namespace, vmName, checkpoints } = index;
  await writeJson(folder, `checkpoints/${namespace}/${vmName}/index.json`, index);
  for (const checkpoint of checkpoints) {
    for (const file of checkpoint.files) {
      const filename = typeof file === 'string' ? file : file.filename;
      const bytes = Buffer.alloc(10 + Number(checkpoint.id.slice(3)));
      await put(folder, `checkpoints/${namespace}/${vmName}/${checkpoint.id}/${filename}`, bytes);
    }
    const backup = `b${checkpoint.id.slice(3)}`;
    const manifestPath = `manifests/${backup}/${namespace}-${vmName}.json`;
    const checkpointChain = chainIds(checkpoints, checkpoint).map(({ id }) => id);
    const { timestamp } = checkpoint;
    await writeJson(folder, manifestPath, { namespace, name: vmName, backupName: backup, timestamp, checkpointChain });
    const vms = [{ name: vmName, namespace, checkpointId: checkpoint.id, manifestPath }];
    await writeJson(folder, `manifests/${backup}/index.json`, { backupName: backup, timestamp, vms });
  }
}

export async function writeJson(folder: string, key: string, document: unknown): Promise<void> {
  await put(folder, key, Buffer.from(JSON.stringify(document)));
}

export async function put(folder: string, key: string, bytes: Uint8Array): Promise<void> {
  const path = join(folder, key);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}
