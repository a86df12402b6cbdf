// Errors for a VM, a backup or a checkpoint that the bucket does not have: they name those that it has, the closest match first.
import { backupPrefix, CHECKPOINTS, MANIFESTS, vmIndexKey, vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import type { VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError } from '../errors.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { commandLine } from './command-line.ts';
import { directoryNames, findCheckpoints, findNamespaces, findVmNames } from './find-vms.ts';
import { loadTips } from './vm-manifest.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** The error for a VM without an index: BACKUP_NOT_FOUND, or OBJECT_MISSING when its layers exist. */
export async function vmNotFound(store: ObjectStore, vm: VmRef, { signal }: Options): Promise<DatamoverError> {
  const checkpoints = await findCheckpoints(store, vm, { signal });
  if (checkpoints.length > 0) return indexNotFound(store, vm, checkpoints);
  const known = await vmNames(store, vm, { signal });
  if (known.length === 0) return await emptySource(store, { signal });
  const near = closestMatch(vmText(vm), known);
  const hint = near === undefined ? `run \`${commandLine(store, 'list')}\` to see all VMs` : `did you mean ${near}?`;
  const message = `VM ${vmText(vm)} not found in ${store.description}; found: ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', message, { hint });
}

/** The error for a VM whose checkpoints exist without an index. */
export function indexNotFound(store: ObjectStore, vm: VmRef, checkpoints: readonly string[]): DatamoverError {
  const message = `${store.describe(vmIndexKey(vm))}: index not found, but VM ${vmText(vm)} has checkpoints: ${listNames(checkpoints)}`;
  return new DatamoverError('OBJECT_MISSING', message, {
    hint: `restore the index from another copy of the bucket, or print what can be rebuilt of it: ${commandLine(store, 'rebuild-index', `--vm=${vmText(vm)}`)} (docs/recovery.md)`,
  });
}

export async function backupNotFound(
  store: ObjectStore,
  { index, backup }: { readonly index: VmIndex; readonly backup: string },
  { signal }: Options,
): Promise<DatamoverError> {
  const { tips } = await loadTips(store, index, { signal });
  const known = [...tips.keys()];
  const vm = vmText(index.vm);
  const exists = await hasEntries(store, backupPrefix(backup), { signal });
  const near = closestMatch(backup, known);
  const found = known.length === 0 ? 'no backup contains this VM' : `its backups: ${listNames(known)}`;
  const what = exists ? `backup ${backup} does not contain VM ${vm}` : `backup ${backup} of VM ${vm} not found`;
  const newest = index.entries.findLast(({ id }) => id !== undefined)?.id;
  return new DatamoverError('BACKUP_NOT_FOUND', `${what} in ${store.description}; ${found}`, {
    hint:
      near !== undefined
        ? `did you mean ${near}?`
        : known.length === 0 && newest !== undefined
          ? `restore one of its checkpoints: ${commandLine(store, 'plan', `--vm=${vm}`, `--checkpoint=${newest}`)}`
          : 'choose one of those backups',
  });
}

/** No backup contains the VM, although its index, or what was rebuilt of it, exists. */
export function noBackupOf(store: ObjectStore, index: VmIndex): DatamoverError {
  const known = [...index.byId.keys()];
  const newest = known.at(-1);
  const found = newest === undefined ? 'its index lists no checkpoint' : `its checkpoints: ${listNames(known)}`;
  const vm = vmText(index.vm);
  const message = `no backup contains VM ${vm}: neither its index nor ${MANIFESTS} names one; ${found}`;
  const restore = (id: string): string => commandLine(store, 'plan', `--vm=${vm}`, `--checkpoint=${id}`);
  return new DatamoverError('BACKUP_NOT_FOUND', message, {
    hint: newest === undefined ? 'choose another VM' : `restore a checkpoint: ${restore(newest)}`,
  });
}

export function checkpointNotFound(index: VmIndex, checkpoint: string): DatamoverError {
  const known = [...index.byId.keys()];
  const near = closestMatch(checkpoint, known);
  const found = known.length === 0 ? 'it lists no checkpoint' : `it lists ${listNames(known)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', `${index.key}: checkpoint ${checkpoint} not found; ${found}`, {
    hint: near === undefined ? 'choose one of those checkpoints' : `did you mean ${near}?`,
  });
}

/** VMs of the same namespace; of all when it has none. */
async function vmNames(store: ObjectStore, { namespace }: VmRef, { signal }: Options): Promise<string[]> {
  const own = await vmsOf(store, namespace, { signal });
  if (own.length > 0) return own;
  const all: string[] = [];
  for (const other of (await findNamespaces(store, { signal })).slice(0, MAX_NAMESPACES)) {
    all.push(...(await vmsOf(store, other, { signal })));
  }
  return all;
}

/** Each costs a request, and only a hint needs them. */
const MAX_NAMESPACES = 50;

/** The VMs of a namespace; directories that deleted VMs left behind are not among them, unless there are too many to look. */
async function vmsOf(store: ObjectStore, namespace: string, { signal }: Options): Promise<string[]> {
  const names = await findVmNames(store, namespace, { signal });
  if (names.length > MAX_EXAMINED) return names.map((name) => `${namespace}/${name}`);
  const examined = await mapBounded(names, { limit: REQUESTS, signal }, async (name, inner) => {
    const vm = { namespace, name };
    const exists = await hasIndex(store, vm, { signal: inner });
    return exists || (await findCheckpoints(store, vm, { signal: inner })).length > 0 ? [vmText(vm)] : [];
  });
  return examined.flat();
}

const MAX_EXAMINED = 200;
const REQUESTS = 16;

async function hasIndex(store: ObjectStore, vm: VmRef, { signal }: Options): Promise<boolean> {
  try {
    await store.head(vmIndexKey(vm), { signal });
    return true;
  } catch (error) {
    if (error instanceof DatamoverError && error.code === 'OBJECT_MISSING') return false;
    throw error;
  }
}

/** The source has no backup: most often the prefix is wrong, and the directories at its top show the right one. */
export async function emptySource(store: ObjectStore, { signal }: Options): Promise<DatamoverError> {
  const top = await directoryNames(store, '', { signal });
  const candidates = top.filter((name) => `${name}/` !== CHECKPOINTS && `${name}/` !== MANIFESTS && PREFIX.test(name));
  const likely = candidates.filter((name) => name.endsWith('kubevirt-datamover'));
  const shown = likely.length > 0 ? likely : candidates;
  const message = `no backups found in ${store.description} (no objects under ${CHECKPOINTS})`;
  return new DatamoverError('BACKUP_NOT_FOUND', message, {
    hint:
      shown.length === 0
        ? 'check the bucket and the prefix, or the directory: it must contain checkpoints/ and manifests/'
        : `check the prefix; candidates: ${listNames(shown)}`,
  });
}

/** What a prefix may be called; `.snapshot`, `@eaDir`, `lost+found` and the like are not. */
const PREFIX = /^[A-Za-z0-9][\w.-]*$/;

async function hasEntries(store: ObjectStore, prefix: string, { signal }: Options): Promise<boolean> {
  for await (const _ of store.list(prefix, { signal })) return true;
  return false;
}
