// Which checkpoints of a disk can be restored, and what is lost when one cannot. Pure: what is there, the caller looks up.
import type { ErrorCode } from '../errors.ts';
import { listNames } from './names.ts';
import { type CatalogFile, type Checkpoint, type IndexEntry, soundCheckpoints, type VmIndex } from './vm-index.ts';

export interface Flaw {
  readonly code: ErrorCode;
  readonly problem: string;
}

export type CheckpointState =
  | { readonly state: 'restorable' }
  /** `root` is the checkpoint that is at fault: this one, or one that it builds on. */
  | (Flaw & { readonly state: 'broken'; readonly root: string });

/** Every disk that the index knows, in the order in which they first appear. */
export function disksOf(index: VmIndex): string[] {
  return [...new Set(soundCheckpoints(index).flatMap(({ files }) => files.map(({ disk }) => disk)))];
}

/**
 * The state of each checkpoint that holds `disk`, by id: whole when its layer and every one that it builds on is sound,
 * in order, and without a flaw by `flawOf` (missing, of another size). Follows every parent once, cycles too.
 */
export function diskStates(
  index: VmIndex,
  disk: string,
  flawOf: (file: CatalogFile) => Flaw | undefined,
): Map<string, CheckpointState> {
  const states = new Map<string, CheckpointState>();
  for (const { id, files } of soundCheckpoints(index)) {
    if (files.some((file) => file.disk === disk)) walk({ index, disk, flawOf, states }, id);
  }
  return states;
}

/** By backup: the newest checkpoint that it references, which is its tip (all others that it references are below that). */
export function tipsOf(index: VmIndex): Map<string, string> {
  const tips = new Map<string, string>();
  for (const { id, referencedBy } of index.entries) {
    if (id === undefined) continue;
    for (const backup of referencedBy) {
      // A backup that is named again has its later place in the order of backups, too.
      tips.delete(backup);
      tips.set(backup, id);
    }
  }
  return tips;
}

/**
 * As `tipsOf`, with what the backups' own documents say, which counts for more than the index's references. Sorted by
 * the tips' places in the index; a tip that is not in it comes last.
 */
export function mergeTips(index: VmIndex, told: ReadonlyMap<string, string | null | undefined>): Map<string, string> {
  const tips = tipsOf(index);
  for (const [backup, tip] of told) if (tip) tips.set(backup, tip);
  const places = new Map(index.entries.map(({ id }, place) => [id, place]));
  const placeOf = (id: string): number => places.get(id) ?? index.entries.length;
  return new Map([...tips].sort(([, a], [, b]) => placeOf(a) - placeOf(b)));
}

/** The checkpoints that `tip` builds on and itself, as far down as their parents can be followed. */
export function neededBy(index: VmIndex, tip: string | undefined): Set<string> {
  const needed = new Set<string>();
  for (let at = tip; at !== undefined && !needed.has(at); ) {
    const [entry] = index.byId.get(at) ?? [];
    if (entry === undefined) break;
    needed.add(at);
    at = isFlawed(entry) || entry.type === 'full' ? undefined : entry.parent;
  }
  return needed;
}

export interface Loss {
  /** What is counted: checkpoints where no document says which backups there are; else backups. */
  readonly of?: 'checkpoints';
  /** Those that need the checkpoint at fault. */
  readonly lost: readonly string[];
  /** Those that hold the disk and can still be restored. */
  readonly restorable: readonly string[];
}

/** What is lost of a disk by the fault of checkpoint `root`, and what is not. */
export function lossOf(
  root: string,
  states: ReadonlyMap<string, CheckpointState>,
  tips: ReadonlyMap<string, string>,
): Loss {
  const lost: string[] = [];
  const restorable: string[] = [];
  const counted = tips.size > 0 ? tips : new Map([...states.keys()].map((id) => [id, id]));
  for (const [name, tip] of counted) {
    const state = states.get(tip);
    if (state?.state === 'restorable') restorable.push(name);
    if (state?.state === 'broken' && state.root === root) lost.push(name);
  }
  return { ...(tips.size > 0 ? {} : { of: 'checkpoints' }), lost, restorable };
}

/** A loss in words, for a hint. */
export function formatLoss(disk: string, { of, lost, restorable }: Loss): string {
  if (of === 'checkpoints') {
    const left =
      restorable.length === 0
        ? 'none of its checkpoints can be restored'
        : `still restorable: ${listNames(restorable)}`;
    return `the affected backups are unknown; affected checkpoints of disk ${disk}: ${listNames(lost)}; ${left}`;
  }
  const gone = lost.length === 0 ? 'no backup is affected' : `affected backups of disk ${disk}: ${listNames(lost)}`;
  const left =
    restorable.length === 0 ? 'no other backup can be restored' : `still restorable: ${listNames(restorable)}`;
  return `${gone}; ${left}`;
}

interface Walk {
  readonly index: VmIndex;
  readonly disk: string;
  readonly flawOf: (file: CatalogFile) => Flaw | undefined;
  readonly states: Map<string, CheckpointState>;
}

/** Goes down from `id` to the first checkpoint whose state is known or needs no parent, then settles all above it. */
function walk(context: Walk, id: string): void {
  const { index, states } = context;
  const above: Checkpoint[] = [];
  const onWay = new Set<string>();
  let at = id;
  let settled = states.get(at);
  while (settled === undefined) {
    const own = ownState(context, at);
    if (onWay.has(at))
      settled = brokenState(at, 'CHAIN_BROKEN', `the parents of checkpoint ${id} form a cycle at ${at}`);
    else if ('settled' in own) {
      settled = own.settled;
      if (index.byId.has(at)) states.set(at, settled);
    } else {
      onWay.add(at);
      above.push(own.checkpoint);
      at = own.parent;
      settled = states.get(at);
    }
  }
  for (const checkpoint of above.reverse()) states.set(checkpoint.id, settled);
}

type Own =
  | { readonly settled: CheckpointState }
  /** Sound by itself: its parent decides. */
  | { readonly checkpoint: Checkpoint; readonly parent: string };

function ownState({ index, disk, flawOf }: Walk, id: string): Own {
  const [entry, second] = index.byId.get(id) ?? [];
  const fault = (code: ErrorCode, problem: string): Own => ({ settled: brokenState(id, code, problem) });
  if (entry === undefined) return fault('CHAIN_BROKEN', `checkpoint ${id} not found in the index`);
  if (second !== undefined) return fault('CHAIN_BROKEN', `checkpoint ${id} is in the index more than once`);
  if (isFlawed(entry)) return fault('METADATA_INVALID', entry.flaw);
  const files = entry.files.filter((file) => file.disk === disk);
  const [file] = files;
  if (file === undefined) return fault('CHAIN_BROKEN', `checkpoint ${id} holds no layer of disk ${disk}`);
  if (files.length > 1) return fault('CHAIN_BROKEN', `checkpoint ${id} holds more than one layer of disk ${disk}`);
  const flaw = flawOf(file);
  if (flaw !== undefined) return fault(flaw.code, flaw.problem);
  const { type, parent } = entry;
  if (type === 'full' && parent !== undefined)
    return fault('CHAIN_BROKEN', `checkpoint ${id} is full, but names a parent, ${parent}`);
  if (type === 'full') return { settled: { state: 'restorable' } };
  if (parent === undefined) return fault('CHAIN_BROKEN', `checkpoint ${id} is incremental, but names no parent`);
  return { checkpoint: entry, parent };
}

function isFlawed(entry: IndexEntry): entry is Extract<IndexEntry, { readonly flaw: string }> {
  return entry.flaw !== undefined;
}

function brokenState(root: string, code: ErrorCode, problem: string): CheckpointState {
  return { state: 'broken', root, code, problem };
}
