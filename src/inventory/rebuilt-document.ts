// The index document of a rebuilt index, as the uploader writes it, for people to put back.
import { backupFactsKey } from '../catalog/backup-facts.ts';
import { vmText } from '../catalog/keys.ts';
import type { Evidence } from '../catalog/step.ts';
import { type Checkpoint, soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { readEvidence } from '../evidence/evidence.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';

interface Options {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * What no document proves is left out of the document, with a warning for each: a guessed parent that came back as an index would
 * count as proven. A type that no document names is taken from the layers: all of them need a parent, or none of them.
 */
export async function rebuiltDocument(store: ObjectStore, index: VmIndex, options: Options): Promise<object> {
  const { vm } = index;
  const checkpoints: object[] = [];
  for (const entry of soundCheckpoints(index)) {
    const type = entry.typedBy === undefined ? await typeByLayers(store, entry, options) : entry.type;
    if (type === undefined) {
      warn(options, `checkpoint ${entry.id} is left out: neither a document nor its layers tell its type`);
      continue;
    }
    checkpoints.push(toDocument(index, { ...entry, type }, options));
  }
  for (const { id, flaw } of index.entries) {
    if (flaw !== undefined) warn(options, `checkpoint ${id ?? '?'} is left out: ${index.key}: ${flaw}`);
  }
  return { vmName: vm.name, namespace: vm.namespace, checkpoints };
}

const REQUESTS = 16;

async function typeByLayers(
  store: ObjectStore,
  { files }: Checkpoint,
  { signal }: Options,
): Promise<Checkpoint['type'] | undefined> {
  const all = await mapBounded(files, { limit: REQUESTS, signal }, async ({ object }, inner): Promise<Evidence> => {
    return await readEvidence(store, object, { signal: inner });
  });
  if (all.length > 0 && all.every(({ complete }) => complete)) return 'full';
  return all.some(({ backing }) => backing) ? 'incremental' : undefined;
}

function toDocument(index: VmIndex, entry: Checkpoint, options: Options): object {
  const { id, type, timestamp, vmBackup, files, referencedBy, facts } = entry;
  const parent = parentOf(index, entry, options);
  return {
    id,
    type,
    ...(parent === undefined ? {} : { parent }),
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(vmBackup === undefined ? {} : { vmBackup }),
    files: files.map(({ disk, object, size }) => ({
      filename: object.slice(object.lastIndexOf('/') + 1),
      diskName: disk,
      ...(size === undefined ? {} : { size }),
      objectPath: object,
    })),
    ...pvcsOf(entry),
    referencedBy,
    ...(facts === undefined ? {} : { vmbObjectPath: backupFactsKey(index.vm, id) }),
  };
}

function parentOf(
  { vm }: VmIndex,
  { id, type, parent, link, unlinked }: Checkpoint,
  options: Options,
): string | undefined {
  if (type === 'full') return undefined;
  if (link !== 'time') return parent;
  const why = unlinked ?? `nothing but the times suggests that it is ${parent}`;
  warn(options, `VM ${vmText(vm)}: the parent of checkpoint ${id} is left out: ${why}`);
  return undefined;
}

/** PVCs and their sizes go by position: all of them, or none. */
function pvcsOf({ files }: Checkpoint): object {
  const pvcs = files.map(({ pvc }) => pvc);
  const sizes = files.map(({ pvcSize }) => pvcSize);
  return {
    pvcs: pvcs.includes(undefined) ? [] : pvcs,
    ...(sizes.includes(undefined) ? {} : { pvcSizes: sizes.map(String) }),
  };
}

function warn({ progress }: Options, message: string): void {
  progress.report({ type: 'warning', message });
}
