// Finds namespaces, VMs and backups by the directories that a bucket has for them. Directories of other programs are
// recognised by their names, which Kubernetes would not allow, and not entered: the user may lack the permission.
import { CHECKPOINTS, MANIFESTS, vmPrefix } from '../catalog/keys.ts';
import { mapBounded } from '../concurrency.ts';
import { isNamespaceName, isResourceName } from '../kubernetes-names.ts';
import { invalidNameReason } from '../object-key.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';

export interface FindOptions {
  /** Called with the key of each directory that is passed over. */
  readonly onIgnored?: (key: string) => void;
  readonly signal: AbortSignal;
}

export async function findNamespaces(store: ObjectStore, options: FindOptions): Promise<string[]> {
  return await namesUnder(store, CHECKPOINTS, isNamespaceName, options);
}

/** The VMs of a namespace, by the names of their directories: those of VMs that were deleted are among them. */
export async function findVmNames(store: ObjectStore, namespace: string, options: FindOptions): Promise<string[]> {
  return await namesUnder(store, `${CHECKPOINTS}${namespace}/`, isResourceName, options);
}

/** The backups that have a directory. */
export async function findBackups(store: ObjectStore, options: FindOptions): Promise<string[]> {
  return await namesUnder(store, MANIFESTS, isResourceName, options);
}

/**
 * The checkpoints of a VM, found without its index: the first that has a layer, and all directories after it. None where no
 * layer exists, as after the VM's backups were deleted.
 */
export async function findCheckpoints(store: ObjectStore, vm: VmRef, { signal }: FindOptions): Promise<string[]> {
  const names = await directoryNames(store, vmPrefix(vm), { signal });
  const candidates = names.filter((name) => CHECKPOINT.test(name) && invalidNameReason(name) === undefined);
  for (let from = 0; from < candidates.length; from += REQUESTS) {
    const some = candidates.slice(from, from + REQUESTS);
    const holding = await mapBounded(some, { limit: REQUESTS, signal }, async (name, inner) =>
      hasLayer(store, `${vmPrefix(vm)}${name}/`, { signal: inner }),
    );
    const first = holding.indexOf(true);
    if (first !== -1) return candidates.slice(from + first);
  }
  return [];
}

/** Ids of checkpoints may have characters that Kubernetes does not allow (libvirt's have `_`). */
const CHECKPOINT = /^[A-Za-z0-9]/;

const REQUESTS = 16;

async function hasLayer(store: ObjectStore, prefix: string, { signal }: FindOptions): Promise<boolean> {
  for await (const { kind, key } of store.list(prefix, { signal })) {
    if (kind === 'object' && /\/[^./][^/]*\.qcow2$/i.test(key)) return true;
  }
  return false;
}

async function namesUnder(
  store: ObjectStore,
  prefix: string,
  isName: (name: string) => boolean,
  { onIgnored = () => {}, signal }: FindOptions,
): Promise<string[]> {
  const names = await directoryNames(store, prefix, { signal });
  for (const name of names) if (!isName(name)) onIgnored(`${prefix}${name}/`);
  return names.filter(isName);
}

/** The names of all directories directly under `prefix`. */
export async function directoryNames(store: ObjectStore, prefix: string, { signal }: FindOptions): Promise<string[]> {
  const names: string[] = [];
  for await (const { kind, key } of store.list(prefix, { signal })) {
    if (kind === 'prefix') names.push(key.slice(prefix.length, -1));
  }
  return names;
}
