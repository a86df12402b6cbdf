// Rebuilds a lost index: order from the manifests, files and sizes from the listing, types from vmb.json. What no document says is
// guessed, and marked as a guess. Pure.
import type { Problem } from '../errors.ts';
import { count } from '../units.ts';
import type { VmRef } from '../vm-ref.ts';
import type { BackupFacts } from './backup-facts.ts';
import { checkpointPrefix, layerKey } from './keys.ts';
import { parseCheckpointId, predecessorByTime, type Timed } from './times.ts';
import {
  type CatalogFile,
  type Checkpoint,
  diskOfFilename,
  type IndexEntry,
  type ListedChain,
  soundCheckpoints,
  toIndex,
  type VmIndex,
  withoutExtension,
} from './vm-index.ts';

/** What a checkpoint's directory holds. */
export interface FoundCheckpoint {
  /** Layers, by name; bytes each. */
  readonly files: ReadonlyMap<string, number>;
  readonly facts: BackupFacts | undefined;
}

export interface RebuildOptions {
  readonly vm: VmRef;
  /** What is wrong with the index. */
  readonly lost: Problem;
  /** The index as far as it can be read; its entries are kept. */
  readonly known: VmIndex | undefined;
  /** By checkpoint: those to rebuild. */
  readonly found: ReadonlyMap<string, FoundCheckpoint>;
  /** By the manifest's key. */
  readonly manifests: ReadonlyMap<string, ListedManifest>;
}

export interface ListedManifest extends ListedChain {
  readonly backup: string;
}

export function rebuildIndex({ vm, lost, known, found, manifests }: RebuildOptions): VmIndex {
  const kept = known?.entries ?? [];
  const pvcs = pvcsOf(known);
  const disks = known === undefined ? [] : soundCheckpoints(known).flatMap((one) => one.files.map(({ disk }) => disk));
  const parents = new Parents(manifests, [
    ...(known === undefined ? [] : soundCheckpoints(known)).map(({ id, timestamp }) => ({ id, createdAt: timestamp })),
    ...[...found].map(([id, { facts }]) => ({ id, createdAt: facts?.createdAt })),
  ]);
  const rebuilt = [...found].map(([id, one]): Checkpoint => {
    const { facts, files } = one;
    const isFull = facts?.type === 'full';
    const listed = parents.listed(id);
    const link = listed ?? (isFull ? {} : parents.guessed({ id, createdAt: facts?.createdAt }));
    const guess = listed === undefined && parents.isListedFirst(id) ? 'full' : 'incremental';
    const takenAt = parseCheckpointId(id)?.takenAt;
    return {
      id,
      type: facts?.type ?? guess,
      typedBy: facts?.type === undefined ? undefined : `${facts.key}: status.type`,
      parent: undefined,
      link: 'time',
      ...link,
      timestamp: facts?.createdAt ?? (takenAt === undefined ? undefined : new Date(takenAt).toISOString()),
      vmBackup: facts?.name ?? parseCheckpointId(id)?.vmBackup,
      files: toFiles(files, { vm, id, facts, pvcs, disks }),
      referencedBy: [...manifests.values()].filter(({ ids }) => ids.includes(id)).map(({ backup }) => backup),
      ...(facts === undefined ? {} : { facts }),
    };
  });
  const linked = kept.map((entry) => withParent(entry, parents));
  const ids = [...found.keys()];
  const notes = describe({ vm, known, found, manifests });
  return { ...toIndex(vm, parentsFirst([...linked, ...rebuilt])), rebuilt: { lost, ids, notes, manifests } };
}

type ParentLink = Pick<Checkpoint, 'parent' | 'link'> & { readonly unlinked?: string };

/** The parents that manifests name, and those that times suggest. */
class Parents {
  readonly #before = new Map<string, Map<string, string[]>>();
  readonly #first = new Set<string>();
  readonly #timed: readonly Timed[];

  constructor(manifests: ReadonlyMap<string, ListedChain>, timed: readonly Timed[]) {
    this.#timed = timed;
    for (const [key, { ids, gaps }] of manifests) {
      if (gaps) continue;
      for (const [place, id] of ids.entries()) {
        const before = ids[place - 1];
        if (before === undefined) {
          this.#first.add(id);
          continue;
        }
        const all = this.#before.get(id) ?? new Map<string, string[]>();
        this.#before.set(id, all.set(before, [...(all.get(before) ?? []), key]));
      }
    }
  }

  isListedFirst(id: string): boolean {
    return this.#first.has(id);
  }

  listed(id: string): ParentLink | undefined {
    const all = [...(this.#before.get(id) ?? [])];
    const [parent] = all[0] ?? [];
    if (parent === undefined || all.length === 1)
      return parent === undefined ? undefined : { parent, link: 'manifest' };
    const said = all.map(([before, keys]) => `${before} (${keys[0]})`).join(', ');
    return { parent: undefined, link: 'manifest', unlinked: `manifests disagree on its parent: ${said}` };
  }

  guessed(one: Timed): ParentLink {
    const found = predecessorByTime(one, this.#timed);
    if ('id' in found) return { parent: found.id, link: 'time' };
    return { parent: undefined, link: 'time', unlinked: found.problem };
  }
}

/** An incremental of an index that was reset names no parent. */
function withParent(entry: IndexEntry, parents: Parents): IndexEntry {
  if (entry.flaw !== undefined || entry.type === 'full' || entry.parent !== undefined) return entry;
  return { ...entry, ...(parents.listed(entry.id) ?? parents.guessed({ id: entry.id, createdAt: entry.timestamp })) };
}

interface FileContext {
  readonly vm: VmRef;
  readonly id: string;
  readonly facts: BackupFacts | undefined;
  readonly pvcs: ReadonlyMap<string, string>;
  /** In the order of the rest of the index. */
  readonly disks: readonly string[];
}

/** Of a backup whose name is known, only the files that start with it: others are of another upload. */
function toFiles(files: ReadonlyMap<string, number>, { vm, id, facts, pvcs, disks }: FileContext): CatalogFile[] {
  const vmBackup = facts?.name ?? parseCheckpointId(id)?.vmBackup;
  const found = [...files].flatMap(([filename, size]) => {
    const disk = vmBackup === undefined ? withoutExtension(filename) : diskOfFilename(filename, vmBackup);
    if (disk === undefined) return [];
    const object = layerKey(vm, id, filename);
    return [{ disk, pvc: pvcs.get(disk), pvcSize: undefined, recordedName: undefined, object, size }];
  });
  const placeOf = ({ disk }: CatalogFile): number => (disks.includes(disk) ? disks.indexOf(disk) : disks.length);
  return found.sort((a, b) => placeOf(a) - placeOf(b));
}

/** Disk → PVC, where the rest of the index agrees on it. */
function pvcsOf(known: VmIndex | undefined): Map<string, string> {
  const pvcs = new Map<string, string>();
  const ambiguous = new Set<string>();
  for (const { files } of known === undefined ? [] : soundCheckpoints(known)) {
    for (const { disk, pvc } of files) {
      if (pvc === undefined) continue;
      if (pvcs.has(disk) && pvcs.get(disk) !== pvc) ambiguous.add(disk);
      pvcs.set(disk, pvc);
    }
  }
  for (const disk of ambiguous) pvcs.delete(disk);
  return pvcs;
}

/** As an index is: newest last, and each checkpoint after its parent. */
function parentsFirst(entries: readonly IndexEntry[]): IndexEntry[] {
  const timeOf = (entry: IndexEntry): string => (entry.flaw === undefined ? (entry.timestamp ?? '') : '');
  const sorted = entries.toSorted(
    (a, b) => timeOf(a).localeCompare(timeOf(b)) || (a.id ?? '').localeCompare(b.id ?? ''),
  );
  const byId = new Map(sorted.map((entry) => [entry.id, entry]));
  const done = new Set<IndexEntry>();
  for (const entry of sorted) {
    const path: IndexEntry[] = [];
    for (let at: IndexEntry | undefined = entry; at !== undefined && !done.has(at) && !path.includes(at); ) {
      path.push(at);
      at = at.flaw === undefined && at.parent !== undefined ? byId.get(at.parent) : undefined;
    }
    for (const one of path.reverse()) done.add(one);
  }
  return [...done];
}

function describe({
  vm,
  known,
  found,
  manifests,
}: Pick<RebuildOptions, 'vm' | 'known' | 'found' | 'manifests'>): string[] {
  const archived = [...found.values()].filter(({ facts }) => facts !== undefined).length;
  const what = known === undefined ? 'the index' : 'the missing part of the index';
  const from = [
    `${count(manifests.size, 'manifest')} (order)`,
    `the listing of ${count(found.size, 'directory', 'directories')} (files, sizes)`,
    `${archived} vmb.json (types, names)`,
  ].join(', ');
  const note = `rebuilt ${what} of ${vm.namespace}/${vm.name} in memory: ${count(found.size, 'checkpoint')}, from ${from}`;
  const foreign = [...found].flatMap(([id, { files, facts }]) => {
    const vmBackup = facts?.name ?? parseCheckpointId(id)?.vmBackup;
    const names =
      vmBackup === undefined ? [] : [...files.keys()].filter((name) => diskOfFilename(name, vmBackup) === undefined);
    return names.map((name) => `ignored ${checkpointPrefix(vm, id)}${name}: not named after backup ${vmBackup}`);
  });
  return [note, ...foreign];
}
