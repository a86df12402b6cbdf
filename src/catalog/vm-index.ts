// A VM's index: its checkpoints, each with its layers, as far as they can be believed.
import { z } from 'zod';
import type { LayerType } from '../chain-order.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { VmRef } from '../vm-ref.ts';
import type { BackupFacts } from './backup-facts.ts';
import { checkpointDocument, formatIssues, parseDocument, vmIndexDocument } from './documents.ts';
import { isEmptyEntry } from './empty-entries.ts';
import { layerKey, vmIndexKey, vmText } from './keys.ts';

export interface CatalogFile {
  /** The disk's name. */
  readonly disk: string;
  /** Its PVC's name, where the index tells. */
  readonly pvc: string | undefined;
  /** The PVC's size in bytes when the checkpoint was taken. */
  readonly pvcSize: number | undefined;
  /** `diskName` as recorded; older uploaders cut it. */
  readonly recordedName: string | undefined;
  /** Object key; always in this VM's and checkpoint's own folder. */
  readonly object: string;
  /** Declared bytes. */
  readonly size: number | undefined;
}

export interface Checkpoint {
  readonly id: string;
  readonly type: LayerType;
  /** The place in a document that names the type; undefined where none does, and the type is a guess. */
  readonly typedBy: string | undefined;
  readonly parent: string | undefined;
  /** What names the parent; `time` is a guess. */
  readonly link: Link;
  /** Why no parent could be found for a checkpoint that needs one, where more is known than that none is named. */
  readonly unlinked?: string;
  readonly timestamp: string | undefined;
  /** The VirtualMachineBackup's name. */
  readonly vmBackup: string | undefined;
  readonly files: readonly CatalogFile[];
  /** The backups that need it: their tips, and every checkpoint below. */
  readonly referencedBy: readonly string[];
  /** What its vmb.json says; undefined while it was not read, and where there is none. */
  readonly facts?: BackupFacts;
  readonly flaw?: undefined;
}

/** The documents that tell the order of checkpoints; without any of them it is guessed by time. */
export type Link = 'index' | 'manifest' | 'time';

/** An entry of the index that cannot be believed. */
interface FlawedCheckpoint {
  readonly id: string | undefined;
  /** As far as they can be read. */
  readonly referencedBy: readonly string[];
  /** What is wrong with it, beginning with its place in the index. */
  readonly flaw: string;
}

export type IndexEntry = Checkpoint | FlawedCheckpoint;

export interface VmIndex {
  readonly vm: VmRef;
  /** The index's own key. */
  readonly key: string;
  /** In the index's order: newest last. */
  readonly entries: readonly IndexEntry[];
  /** Every entry of an id: more than one is a flaw of the index. */
  readonly byId: ReadonlyMap<string, readonly IndexEntry[]>;
  /** Set for an index that was lost, in full or in part, and rebuilt. */
  readonly rebuilt?: Rebuilt;
}

/** How an index was rebuilt. */
export interface Rebuilt {
  /** What is wrong with the index in the bucket. */
  readonly lost: Problem;
  /** The ids that were rebuilt. */
  readonly ids: readonly string[];
  /** From what, one line each. */
  readonly notes: readonly string[];
  /** The chains that manifests list, by the manifest's key. */
  readonly manifests: ReadonlyMap<string, ListedChain>;
}

/** The `checkpointChain` of a manifest. */
export interface ListedChain {
  readonly ids: readonly string[];
  /** Whether entries are missing from it, so that neighbours may not be parent and child. */
  readonly gaps: boolean;
}

/** METADATA_INVALID when it is no index, or another VM's. Flaws of single checkpoints are kept with them. */
export function parseVmIndex(data: unknown, vm: VmRef): VmIndex {
  const key = vmIndexKey(vm);
  const document = parseDocument(vmIndexDocument, data, key);
  const { namespace = vm.namespace, vmName = vm.name } = document;
  if (namespace !== vm.namespace || vmName !== vm.name) {
    throw new DatamoverError('METADATA_INVALID', `${key} is the index of another VM: ${namespace}/${vmName}`, {
      hint: `compare the index of ${vmText(vm)} with another copy of the bucket; it was replaced`,
    });
  }
  const entries = document.checkpoints.flatMap((entry, index) =>
    isEmptyEntry(entry) ? [] : [parseEntry(entry, `checkpoints[${index}]`, vm)],
  );
  return toIndex(vm, entries);
}

/** An index of these entries. */
export function toIndex(vm: VmRef, entries: readonly IndexEntry[]): VmIndex {
  const byId = Map.groupBy(
    entries.filter((entry) => entry.id !== undefined),
    ({ id = '' }) => id,
  );
  return { vm, key: vmIndexKey(vm), entries, byId };
}

/** The same index with what is known of backups, by checkpoint. */
export function withFacts(index: VmIndex, facts: ReadonlyMap<string, BackupFacts>): VmIndex {
  if (facts.size === 0) return index;
  const entries = index.entries.map((entry) => {
    const known = entry.flaw === undefined ? facts.get(entry.id) : undefined;
    return known === undefined || entry.flaw !== undefined ? entry : { ...entry, facts: known };
  });
  const { rebuilt } = index;
  return { ...toIndex(index.vm, entries), ...(rebuilt === undefined ? {} : { rebuilt }) };
}

/** The entries that can be believed, in the index's order. */
export function soundCheckpoints(index: VmIndex): Checkpoint[] {
  return index.entries.filter((entry): entry is Checkpoint => entry.flaw === undefined);
}

/** The ids that checkpoints name as their parents, in the index's order. */
export function parentsIn(index: VmIndex): string[] {
  return soundCheckpoints(index).flatMap(({ parent }) => (parent === undefined ? [] : [parent]));
}

type CheckpointDocument = ReturnType<(typeof checkpointDocument)['parse']>;

function parseEntry(data: unknown, place: string, vm: VmRef): IndexEntry {
  const { data: document, error } = checkpointDocument.safeParse(data);
  if (document === undefined) return { ...readable.parse(data), flaw: `${place}.${formatIssues(error.issues)}` };
  const files = document.files.map((_, position) => toFile(document, position, vm));
  for (const [position, { objectPath }] of document.files.entries()) {
    const expected = files[position]?.object;
    if (objectPath !== undefined && objectPath !== expected) {
      const flaw = `${place}.files[${position}].objectPath: expected ${expected}, got ${JSON.stringify(objectPath)}`;
      return { id: document.id, referencedBy: document.referencedBy, flaw };
    }
  }
  const { id, type, parent, timestamp, vmBackup, referencedBy } = document;
  const typedBy = `index.json: ${place}.type`;
  return { id, type, typedBy, parent, link: 'index', timestamp, vmBackup, files, referencedBy };
}

function toFile(document: CheckpointDocument, position: number, vm: VmRef): CatalogFile {
  const { id, files, pvcs, pvcSizes, vmBackup } = document;
  const { filename, diskName, size } = files[position] ?? { filename: '', diskName: undefined, size: undefined };
  // PVCs are told apart by position alone: lists of different lengths tell nothing.
  const pvc = pvcs.length === files.length ? pvcs[position] || undefined : undefined;
  const pvcSize = pvcSizes.length === files.length ? pvcSizes[position] : undefined;
  const disk = diskOfFilename(filename, vmBackup) ?? diskName ?? pvc ?? withoutExtension(filename);
  return { disk, pvc, pvcSize, recordedName: diskName, object: layerKey(vm, id, filename), size };
}

/** `<vmBackup>-<disk>.qcow2` → disk; undefined for a file that is not named so. */
export function diskOfFilename(filename: string, vmBackup: string | undefined): string | undefined {
  const stem = withoutExtension(filename);
  if (vmBackup === undefined || !stem.startsWith(`${vmBackup}-`)) return undefined;
  return stem.slice(vmBackup.length + 1) || undefined;
}

export function withoutExtension(filename: string): string {
  return filename.replace(/\.qcow2$/i, '');
}

/** What an entry that is wrong elsewhere still says. */
const readable = z
  .object({ id: z.string().optional().catch(undefined), referencedBy: z.array(z.unknown()).catch([]) })
  .transform(({ id, referencedBy }) => ({
    id,
    referencedBy: referencedBy.filter((backup): backup is string => typeof backup === 'string' && backup !== ''),
  }))
  .catch({ id: undefined, referencedBy: [] });
