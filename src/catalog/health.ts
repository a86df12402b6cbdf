// Which checkpoints of a disk can be restored, and what is lost when one cannot. Pure: what is there, the caller looks up.
import { listNames } from './names.ts';
import { type BaseProof, type Evidence, type Flaw, type Step, type StepContext, stepAt } from './step.ts';
import { type CatalogFile, soundCheckpoints, type VmIndex } from './vm-index.ts';

export type { Flaw } from './step.ts';

export type CheckpointState =
  | { readonly state: 'restorable'; readonly base: ChainBase; readonly layers: number }
  /** `root` is the checkpoint that is at fault: this one, or one that it builds on. */
  | (Flaw & {
      readonly state: 'broken';
      readonly root: string;
      /** The checkpoint's own layer where it can be used: its tables may prove that it needs no parent. */
      readonly ask?: CatalogFile;
    });

/** Where a chain starts, and what proves it. */
export interface ChainBase {
  readonly checkpoint: string;
  readonly proof: BaseProof;
}

/** Every disk that the index knows, in the order in which they first appear. */
export function disksOf(index: VmIndex): string[] {
  return [...new Set(soundCheckpoints(index).flatMap(({ files }) => files.map(({ disk }) => disk)))];
}

/**
 * The state of each checkpoint that holds `disk`, by id: restorable when its layer and every one that it builds on, down to a
 * proven base, is sound, in order, and without a flaw by `flawOf` (missing, of another size). `evidence` has what the tables of
 * layers show, as far as they were asked. Follows every parent once, cycles too.
 */
export function diskStates(
  index: VmIndex,
  disk: string,
  flawOf: (file: CatalogFile) => Flaw | undefined,
  evidence: ReadonlyMap<string, Evidence> = new Map(),
): Map<string, CheckpointState> {
  const states = new Map<string, CheckpointState>();
  for (const { id, files } of soundCheckpoints(index)) {
    if (files.some((file) => file.disk === disk)) walk({ index, disk, flawOf, evidence, states }, id);
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
    at = entry.flaw !== undefined || entry.type === 'full' ? undefined : entry.parent;
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

interface Walk extends StepContext {
  readonly states: Map<string, CheckpointState>;
}

/** Goes down from `id` to the first checkpoint whose state is known or needs no parent, then settles all above it. */
function walk(context: Walk, id: string): void {
  const { index, states } = context;
  const above: Extract<Step, { readonly kind: 'link' }>[] = [];
  const onWay = new Set<string>();
  let at = id;
  let settled = states.get(at);
  while (settled === undefined) {
    const step = stepAt(context, at);
    if (onWay.has(at)) {
      settled = brokenState(at, {
        code: 'CHAIN_BROKEN',
        problem: `the parents of checkpoint ${id} form a cycle at ${at}`,
      });
    } else if (step.kind === 'link') {
      onWay.add(at);
      above.push(step);
      at = step.parent;
      settled = states.get(at);
    } else {
      settled = settle(step, at);
      if (index.byId.has(at)) states.set(at, settled);
    }
  }
  let layers = settled.state === 'restorable' ? settled.layers : 0;
  for (const { checkpoint, file } of above.reverse()) {
    layers += 1;
    states.set(checkpoint.id, settled.state === 'restorable' ? { ...settled, layers } : { ...settled, ask: file });
  }
}

function settle(step: Exclude<Step, { readonly kind: 'link' }>, id: string): CheckpointState {
  if (step.kind === 'base') return { state: 'restorable', base: { checkpoint: id, proof: step.proof }, layers: 1 };
  const state = brokenState(id, step);
  return step.kind === 'open' ? { ...state, ask: step.file } : state;
}

function brokenState(root: string, { code, problem }: Flaw): Extract<CheckpointState, { readonly state: 'broken' }> {
  return { state: 'broken', root, code, problem };
}
