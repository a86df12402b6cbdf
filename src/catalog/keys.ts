// Where things lie in the bucket (design section 3), relative to the source's prefix.
import { DatamoverError } from '../errors.ts';
import { invalidNameReason } from '../object-key.ts';
import type { VmRef } from '../vm-ref.ts';

export const CHECKPOINTS = 'checkpoints/';
export const MANIFESTS = 'manifests/';

/** `namespace/name`, as people write it. */
export function vmText({ namespace, name }: VmRef): string {
  return `${namespace}/${name}`;
}

/** The folder of all that is kept of a VM, ending in '/'. */
export function vmPrefix({ namespace, name }: VmRef): string {
  return `${CHECKPOINTS}${segment(namespace)}/${segment(name)}/`;
}

export function vmIndexKey(vm: VmRef): string {
  return `${vmPrefix(vm)}index.json`;
}

/** A checkpoint's folder, ending in '/'. */
export function checkpointPrefix(vm: VmRef, checkpoint: string): string {
  return `${vmPrefix(vm)}${segment(checkpoint)}/`;
}

export function layerKey(vm: VmRef, checkpoint: string, filename: string): string {
  return `${checkpointPrefix(vm, checkpoint)}${segment(filename)}`;
}

/** Whose layer an object is, by its key `checkpoints/<namespace>/<vm>/<checkpoint>/<file>`; undefined for another key. */
export function parseCheckpointPlace(object: string): { readonly vm: VmRef; readonly checkpoint: string } | undefined {
  const [top, namespace = '', name = '', checkpoint = '', file, ...rest] = object.split('/');
  if (`${top}/` !== CHECKPOINTS || file === undefined || rest.length > 0) return undefined;
  if ([namespace, name, checkpoint].some((segment) => invalidNameReason(segment) !== undefined)) return undefined;
  return { vm: { namespace, name }, checkpoint };
}

/** A backup's folder, ending in '/'. */
export function backupPrefix(backup: string): string {
  return `${MANIFESTS}${segment(backup)}/`;
}

export function backupIndexKey(backup: string): string {
  return `${backupPrefix(backup)}index.json`;
}

/**
 * Where the manifest of a VM in a backup may lie, the likelier first: what the uploader writes, then what the published
 * design says. Neither name is proof: `a-b-c.json` may be of a-b/c or of a/b-c, so what is inside decides.
 */
export function vmManifestKeys(backup: string, { namespace, name }: VmRef): readonly [string, string] {
  const folder = backupPrefix(backup);
  return [`${folder}${segment(`${namespace}-${name}`)}.json`, `${folder}${segment(name)}.json`];
}

/** USAGE for a name that could lead elsewhere: names in documents are refused when they are read, so this is the caller's. */
function segment(name: string): string {
  const why = invalidNameReason(name);
  if (why === undefined) return name;
  throw new DatamoverError('USAGE', `the name ${JSON.stringify(name)} ${why}`, {
    hint: 'use the name of the namespace, VM, backup or checkpoint in the cluster',
  });
}
