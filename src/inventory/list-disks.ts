// Evaluates the disks of a VM: which of its checkpoints can be restored, and what breaks the others.
import type { Consistency } from '../catalog/backup-facts.ts';
import {
  type ChainBase,
  type CheckpointState,
  diskStates,
  disksOf,
  type Flaw,
  formatLoss,
  lossOf,
  neededBy,
} from '../catalog/health.ts';
import { vmText } from '../catalog/keys.ts';
import { idsBetween, orderOf } from '../catalog/order.ts';
import { type CatalogFile, type Checkpoint, soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import { readEvidence } from '../evidence/evidence.ts';
import type { ObjectStore } from '../store/store.ts';

export interface DiskListing {
  readonly name: string;
  /** In the index's order: newest last. */
  readonly checkpoints: readonly CheckpointListing[];
}

export interface CheckpointListing {
  readonly id: string;
  readonly type: 'full' | 'incremental';
  readonly parent?: string;
  readonly timestamp: string | null;
  /** Bytes of this layer: as listed, else as declared; null when neither is known. */
  readonly size: number | null;
  /** Whether this state of the disk can be restored; `unproven` where no document proves the order of its layers. */
  readonly state: 'restorable' | 'unproven' | 'broken';
  /** Where its chain starts, and what proves that; missing for a broken one. */
  readonly base?: ChainBase;
  /** Whether the guest's file systems were frozen, where vmb.json says it. */
  readonly consistency?: Consistency;
  readonly forcedFull?: true;
  readonly problem?: string;
}

/** Why a layer cannot be used, judging by its size in the listing. */
export function flawBySizes(sizes: ReadonlyMap<string, number>): (file: CatalogFile) => Flaw | undefined {
  return ({ object, size }) => {
    const listed = sizes.get(object);
    if (listed === undefined) return { code: 'OBJECT_MISSING', problem: `layer ${object} not found` };
    if (size === undefined || size === listed) return undefined;
    return { code: 'SIZE_MISMATCH', problem: `layer ${object}: size mismatch: expected ${size} bytes, got ${listed}` };
  };
}

export interface EvaluatedDisks {
  readonly disks: readonly DiskListing[];
  readonly problems: readonly Problem[];
}

export interface EvaluateOptions {
  /** Bytes of every layer that exists, by key. */
  readonly sizes: ReadonlyMap<string, number>;
  /** By backup. */
  readonly tips: ReadonlyMap<string, string>;
  /** Only the checkpoints that it needs. */
  readonly backup: string | undefined;
  /** Concurrent requests. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

async function statesOf(
  store: ObjectStore,
  index: VmIndex,
  disk: string,
  { sizes, limit, signal }: Pick<EvaluateOptions, 'sizes' | 'limit' | 'signal'>,
): Promise<Map<string, CheckpointState>> {
  const flawOf = flawBySizes(sizes);
  const states = diskStates(index, disk, flawOf);
  const asked = [...states.values()].flatMap((state) => (state.state === 'broken' && state.ask ? [state.ask] : []));
  if (asked.length === 0) return states;
  const answers = await mapBounded(asked, { limit, signal }, async ({ object }, inner) => {
    return [object, await readEvidence(store, object, { signal: inner })] as const;
  });
  return diskStates(index, disk, flawOf, new Map(answers));
}

/** Reads the tables of layers only where the documents leave a chain broken: they may prove that a layer needs no parent. */
export async function evaluateDisks(
  store: ObjectStore,
  index: VmIndex,
  { sizes, tips, backup, limit, signal }: EvaluateOptions,
): Promise<EvaluatedDisks> {
  const needed = backup === undefined ? undefined : neededBy(index, tips.get(backup));
  const problems: Problem[] = [];
  const roots = new Set<string>();
  const disks: DiskListing[] = [];
  for (const disk of disksOf(index)) {
    const states = await statesOf(store, index, disk, { sizes, limit, signal });
    const checkpoints = soundCheckpoints(index)
      .filter(
        ({ id, referencedBy }) => backup === undefined || referencedBy.includes(backup) || needed?.has(id) === true,
      )
      .flatMap((checkpoint) => toCheckpointListing(index, checkpoint, disk, { sizes, states }));
    if (checkpoints.length === 0) continue;
    disks.push({ name: disk, checkpoints });
    const shown = new Set(checkpoints.map(({ id }) => id));
    for (const [root, state] of rootsOf(states, shown)) {
      roots.add(root);
      const message = `VM ${vmText(index.vm)}, disk ${disk}: checkpoint ${root}: ${state.problem}`;
      problems.push({ code: state.code, message, hint: formatLoss(disk, lossOf(root, states, tips)) });
    }
  }
  for (const { id, flaw } of index.entries) {
    if (flaw === undefined || (id !== undefined && roots.has(id))) continue;
    problems.push({
      code: 'METADATA_INVALID',
      message: `${index.key}: ${flaw}`,
      hint: 'no other checkpoint depends on it',
    });
  }
  return { disks, problems };
}

type Broken = Extract<CheckpointState, { readonly state: 'broken' }>;

/** By the checkpoint that is the cause: the state of those that it breaks. */
function rootsOf(states: ReadonlyMap<string, CheckpointState>, shown: ReadonlySet<string>): Map<string, Broken> {
  const roots = new Map<string, Broken>();
  for (const [id, state] of states) {
    if (state.state === 'broken' && shown.has(id) && !roots.has(state.root)) roots.set(state.root, state);
  }
  return roots;
}

function toCheckpointListing(
  index: VmIndex,
  { id, type, parent, timestamp, files, facts }: Checkpoint,
  disk: string,
  { sizes, states }: { sizes: ReadonlyMap<string, number>; states: ReadonlyMap<string, CheckpointState> },
): CheckpointListing[] {
  const file = files.find((candidate) => candidate.disk === disk);
  if (file === undefined) return [];
  const state = states.get(id);
  return [
    {
      id,
      type,
      ...(parent === undefined ? {} : { parent }),
      timestamp: timestamp ?? null,
      size: sizes.get(file.object) ?? file.size ?? null,
      ...stateOf(index, id, state),
      ...(facts?.consistency === undefined ? {} : { consistency: facts.consistency }),
      ...(facts?.forcedFull === true ? { forcedFull: true } : {}),
    },
  ];
}

function stateOf(
  index: VmIndex,
  id: string,
  state: CheckpointState | undefined,
): Pick<CheckpointListing, 'state' | 'base' | 'problem'> {
  if (state?.state === 'broken') return { state: 'broken', problem: stateMessage(id, state) };
  if (state === undefined) return { state: 'restorable' };
  const { base } = state;
  const isProven = orderOf(index, idsBetween(index, { base: base.checkpoint, tip: id })) !== 'time';
  if (isProven) return { state: 'restorable', base };
  return {
    state: 'unproven',
    base,
    problem: 'the order of its layers is guessed by time or joined from several manifests',
  };
}

function stateMessage(id: string, { root, problem }: Broken): string {
  return id === root ? problem : `depends on ${root}: ${problem}`;
}
