// From a backup or a checkpoint to the ordered, proven chain of one disk. Pure.
import { findChainFlaw } from '../chain-order.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError } from '../errors.ts';
import { vmText } from './keys.ts';
import { listNames } from './names.ts';
import { type CatalogFile, type Checkpoint, soundCheckpoints, type VmIndex } from './vm-index.ts';

export interface CatalogLayer {
  readonly checkpoint: string;
  readonly type: 'full' | 'incremental';
  readonly parent: string | undefined;
  readonly timestamp: string | undefined;
  readonly file: CatalogFile;
}

export interface CatalogChain {
  /** Full first. */
  readonly layers: readonly [CatalogLayer, ...CatalogLayer[]];
  readonly tip: CatalogLayer;
}

/**
 * The chain of a disk along the checkpoints that a per-VM manifest lists, proven against the index: every id known
 * once, the first full and without a parent, each later one incremental on the one before, one file of the disk in each.
 * `name` is matched with the tip's disks first, then with PVCs by position.
 * CHAIN_BROKEN, METADATA_INVALID (an entry that cannot be believed), BACKUP_NOT_FOUND (no such disk).
 */
export function chainFromManifest(index: VmIndex, ids: readonly string[], name: string): CatalogChain {
  const checkpoints = ids.map((id) => knownCheckpoint(index, id, LISTED));
  const flaw = findChainFlaw(
    checkpoints.map(({ id, type, parent }) => ({ checkpoint: id, type, parent })),
    { parents: 'required' },
  );
  if (flaw !== undefined) throw brokenChainError(index, flaw.message, flaw.hint);
  const tip = checkpoints.at(-1);
  if (tip === undefined)
    throw brokenChainError(index, 'the chain lists no checkpoint', 'choose a checkpoint with --checkpoint');
  const { disk } = findFile(index, tip, name);
  const [first, ...rest] = checkpoints.map((checkpoint) => toLayer(index, checkpoint, disk));
  if (first === undefined) throw new TypeError('a chain has a tip but no layers');
  return { layers: [first, ...rest], tip: rest.at(-1) ?? first };
}

/** The same without a manifest: walked by `parent` from a checkpoint back to the nearest full, then proven. */
export function chainFromIndex(index: VmIndex, checkpoint: string, name: string): CatalogChain {
  return chainFromManifest(index, walkToFull(index, checkpoint), name);
}

/** Ids from the nearest full up to `checkpoint`. CHAIN_BROKEN for a cycle or a parent that is not there. */
export function walkToFull(index: VmIndex, checkpoint: string): string[] {
  const ids: string[] = [];
  const seen = new Set<string>();
  for (let id: string | undefined = checkpoint, child = ''; id !== undefined; ) {
    if (seen.has(id)) {
      throw brokenChainError(
        index,
        `the parents of checkpoint ${checkpoint} form a cycle: ${child} leads back to ${id}`,
        'compare the index with another copy of the bucket; it was edited or damaged',
      );
    }
    seen.add(id);
    ids.push(id);
    const entry: Checkpoint = knownCheckpoint(index, id, child === '' ? 'it was requested' : `${child} builds on it`);
    if (entry.type === 'full') break;
    child = id;
    id = entry.parent;
  }
  return ids.reverse();
}

/** The file of the disk or PVC `name` in a checkpoint. BACKUP_NOT_FOUND, or CHAIN_BROKEN when several answer to it. */
export function findFile(index: VmIndex, { id, files }: Checkpoint, name: string): CatalogFile {
  const ways = [
    files.filter(({ disk }) => disk === name),
    files.filter(({ pvc }) => pvc === name),
    files.filter(({ recordedName }) => recordedName === name),
  ];
  const [file, second] = ways.find((found) => found.length > 0) ?? [];
  if (file === undefined) throw diskNotFound(index, { id, files }, name);
  if (second !== undefined) {
    throw brokenChainError(
      index,
      `checkpoint ${id} holds ${name} more than once: ${file.object} and ${second.object}`,
      AMBIGUOUS,
    );
  }
  return file;
}

/**
 * The file of the disk or PVC `name` in checkpoint `tip`. A PVC that the tip's own lists do not place is looked up in the
 * `older` checkpoints of the chain, newest first: its disk is the last match in the chain, as it is for the uploader.
 * As `findFile`.
 */
export function findDisk(
  index: VmIndex,
  { tip, older }: { readonly tip: Checkpoint; readonly older: readonly string[] },
  name: string,
): CatalogFile {
  try {
    return findFile(index, tip, name);
  } catch (error) {
    if (!(error instanceof DatamoverError) || error.code !== 'BACKUP_NOT_FOUND') throw error;
    for (const id of older.toReversed()) {
      const entry = index.byId.get(id)?.[0];
      const match = entry?.flaw === undefined ? entry?.files.findLast(({ pvc }) => pvc === name) : undefined;
      const file = match && tip.files.find(({ disk }) => disk === match.disk);
      if (file !== undefined) return file;
    }
    throw error;
  }
}

const AMBIGUOUS = 'write the chain into the plan, with the correct file';

function toLayer(index: VmIndex, checkpoint: Checkpoint, disk: string): CatalogLayer {
  const { id, type, parent, timestamp, files } = checkpoint;
  const [file, second] = files.filter((candidate) => candidate.disk === disk);
  if (second !== undefined) {
    throw brokenChainError(index, `checkpoint ${id} holds more than one layer of disk ${disk}`, AMBIGUOUS);
  }
  if (file !== undefined) return { checkpoint: id, type, parent, timestamp, file };
  const fulls = soundCheckpoints(index).filter((other) => other.type === 'full' && hasFileOf(other, disk));
  throw brokenChainError(
    index,
    `checkpoint ${id}, which is in the chain of disk ${disk}, holds no layer of it`,
    fulls.length === 0
      ? `choose another disk: no full backup of ${disk} exists, it first appears in an incremental checkpoint`
      : `restore a checkpoint with a full backup of ${disk}: ${listNames(fulls.map((other) => other.id))}`,
  );
}

function hasFileOf({ files }: Checkpoint, disk: string): boolean {
  return files.some((file) => file.disk === disk);
}

/** Why a checkpoint is needed that a manifest names. */
export const LISTED = "the backup's manifest lists it";

/** The one entry of an id that can be believed, CHAIN_BROKEN or METADATA_INVALID; `why` says who needs it. */
export function knownCheckpoint(index: VmIndex, id: string, why: string): Checkpoint {
  const [entry, second] = index.byId.get(id) ?? [];
  if (entry === undefined) {
    throw brokenChainError(
      index,
      `checkpoint ${id} not found in the index ${index.key}, but ${why}`,
      'choose a backup that does not need it; `kubevirt-datamover list` shows those that can be restored',
    );
  }
  if (second !== undefined) {
    throw brokenChainError(
      index,
      `checkpoint ${id} is in the index ${index.key} ${index.byId.get(id)?.length} times`,
      'compare the index with another copy of the bucket; it was edited or damaged',
    );
  }
  if (entry.flaw === undefined) return entry;
  throw new DatamoverError('METADATA_INVALID', `${index.key}: ${entry.flaw}`, {
    hint: `choose a backup that does not need checkpoint ${id}, or write the chain into the plan`,
  });
}

function brokenChainError({ vm }: VmIndex, message: string, hint: string): DatamoverError {
  return new DatamoverError('CHAIN_BROKEN', `VM ${vmText(vm)}: ${message}`, { hint });
}

function diskNotFound({ vm }: VmIndex, { id, files }: Pick<Checkpoint, 'id' | 'files'>, name: string): DatamoverError {
  const names = files.map(({ disk, pvc }) => (pvc === undefined || pvc === disk ? disk : `${disk} (PVC ${pvc})`));
  const near = closestMatch(
    name,
    files.flatMap(({ disk, pvc }) => (pvc === undefined ? [disk] : [disk, pvc])),
  );
  const held = names.length === 0 ? 'it holds none' : `it holds ${listNames(names)}`;
  return new DatamoverError('BACKUP_NOT_FOUND', `checkpoint ${id} of VM ${vmText(vm)} has no disk ${name}: ${held}`, {
    hint: near === undefined ? 'name a disk that it holds' : `did you mean ${near}?`,
  });
}
