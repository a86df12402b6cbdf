// What is said when a VM, a backup or a checkpoint is not in the bucket: the names that are, the nearest first.
import { backupPrefix, CHECKPOINTS, MANIFESTS, type VmRef, vmIndexKey, vmPrefix, vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import type { VmIndex } from '../catalog/vm-index.ts';
import { nearestWord } from '../did-you-mean.ts';
import { DatamoverError } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { loadTips } from './vm-manifest.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** The error for a VM without an index: BACKUP_NOT_FOUND, or OBJECT_MISSING when its checkpoints are there. */
export async function vmNotFound(store: ObjectStore, vm: VmRef, { signal }: Options): Promise<DatamoverError> {
  const checkpoints = await folderNames(store, vmPrefix(vm), { signal });
  if (checkpoints.length > 0) {
    const message = `the index of VM ${vmText(vm)}, ${store.describe(vmIndexKey(vm))}, is missing, though its checkpoints are there: ${listNames(checkpoints)}`;
    return new DatamoverError('OBJECT_MISSING', message, {
      hint: 'bring the index back from another copy of the bucket, or write the chains out in a plan (docs/recovery.md)',
    });
  }
  const known = await vmNames(store, vm, { signal });
  if (known.length === 0) return await emptySource(store, { signal });
  const near = nearestWord(vmText(vm), known);
  const hint = near === undefined ? '`kubevirt-datamover list` shows all VMs' : `did you mean ${near}?`;
  const message = `no backup of VM ${vmText(vm)} is in ${store.description}; there are backups of ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', message, { hint });
}

export async function backupNotFound(
  store: ObjectStore,
  { index, backup }: { readonly index: VmIndex; readonly backup: string },
  { signal }: Options,
): Promise<DatamoverError> {
  const { tips } = await loadTips(store, index, { signal });
  const known = [...tips.keys()];
  const vm = vmText(index.vm);
  const exists = (await folderEntries(store, backupPrefix(backup), { signal })) > 0;
  const near = nearestWord(backup, known);
  const held = known.length === 0 ? 'no backup is known to hold it' : `its backups are ${listNames(known)}`;
  const what = exists ? `backup ${backup} does not hold VM ${vm}` : `there is no backup ${backup} of VM ${vm}`;
  const newest = index.entries.findLast(({ id }) => id !== undefined)?.id;
  return new DatamoverError('BACKUP_NOT_FOUND', `${what} in ${store.description}; ${held}`, {
    hint:
      near !== undefined
        ? `did you mean ${near}?`
        : known.length === 0 && newest !== undefined
          ? `its checkpoints can be restored without a backup: kubevirt-datamover plan --checkpoint ${newest}`
          : 'name one of those backups',
  });
}

/** No backup at all is known to hold the VM, though its index is there. */
export function noBackupOf(index: VmIndex): DatamoverError {
  const known = [...index.byId.keys()];
  const newest = known.at(-1);
  const held = newest === undefined ? 'its index lists no checkpoint' : `its checkpoints are ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', `no backup is known to hold VM ${vmText(index.vm)}; ${held}`, {
    hint: newest === undefined ? 'choose another VM' : `restore a checkpoint by itself: --checkpoint ${newest}`,
  });
}

export function checkpointNotFound(index: VmIndex, checkpoint: string): DatamoverError {
  const known = [...index.byId.keys()];
  const near = nearestWord(checkpoint, known);
  const held = known.length === 0 ? 'it holds none' : `it holds ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', `checkpoint ${checkpoint} is not in ${index.key}; ${held}`, {
    hint: near === undefined ? 'name one of those checkpoints' : `did you mean ${near}?`,
  });
}

/** VMs of the same namespace; of all when it has none. */
async function vmNames(store: ObjectStore, { namespace }: VmRef, { signal }: Options): Promise<string[]> {
  const own = await folderNames(store, `${CHECKPOINTS}${namespace}/`, { signal });
  if (own.length > 0) return own.map((name) => `${namespace}/${name}`);
  const all: string[] = [];
  for (const other of (await folderNames(store, CHECKPOINTS, { signal })).slice(0, MOST_NAMESPACES)) {
    const names = await folderNames(store, `${CHECKPOINTS}${other}/`, { signal });
    all.push(...names.map((name) => `${other}/${name}`));
  }
  return all;
}

/** Each costs a request, and it is for a hint. */
const MOST_NAMESPACES = 50;

/** Nothing of any backup is there: most often the prefix is wrong, and what lies there says which is right. */
export async function emptySource(store: ObjectStore, { signal }: Options): Promise<DatamoverError> {
  const top = await folderNames(store, '', { signal });
  const message = `there is no backup in ${store.description}: nothing lies under ${CHECKPOINTS} there`;
  const inside = top.filter((name) => `${name}/` !== CHECKPOINTS && `${name}/` !== MANIFESTS);
  const operators = inside.filter((name) => name.endsWith('kubevirt-datamover'));
  const tried = operators.length > 0 ? operators : inside;
  return new DatamoverError('BACKUP_NOT_FOUND', message, {
    hint:
      tried.length === 0
        ? 'is it the right bucket or folder? It holds checkpoints/ and manifests/'
        : `is the prefix (or folder) right? It may lie further down, in ${listNames(tried)}`,
  });
}

async function folderNames(store: ObjectStore, prefix: string, { signal }: Options): Promise<string[]> {
  const names: string[] = [];
  for await (const { kind, key } of store.list(prefix, { signal })) {
    if (kind === 'prefix') names.push(key.slice(prefix.length, -1));
  }
  return names;
}

async function folderEntries(store: ObjectStore, prefix: string, { signal }: Options): Promise<number> {
  let count = 0;
  for await (const _ of store.list(prefix, { signal })) count += 1;
  return count;
}
