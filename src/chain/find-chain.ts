// From a backup or a checkpoint to the proven chain of one disk: along the parents down to the newest layer that needs none.
import {
  type CatalogChain,
  type CatalogLayer,
  chainFromIndex,
  chainFromManifest,
  findDisk,
  knownCheckpoint,
  LISTED,
} from '../catalog/chain.ts';
import { type ChainBase, diskStates, neededBy } from '../catalog/health.ts';
import { vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { orderContradiction, orderOf } from '../catalog/order.ts';
import { type Evidence, type Step, stepAt } from '../catalog/step.ts';
import type { CatalogFile, Link } from '../catalog/vm-index.ts';
import { DatamoverError } from '../errors.ts';
import { readEvidence } from '../evidence/evidence.ts';
import { type VmBackup, withLoss } from '../inventory/vm-backup.ts';
import type { ObjectStore } from '../store/store.ts';

export interface FoundChain extends CatalogChain {
  readonly base: ChainBase;
  readonly order: Link;
  /** The disk's file in the newest checkpoint. */
  readonly file: CatalogFile;
}

/**
 * The chain of disk `name` (or of the PVC of that name) that ends at the backup's tip. The tables of layers are read only where
 * the documents do not answer: they contradict each other or say nothing, or what the disk builds on is missing.
 * CHAIN_BROKEN, METADATA_INVALID (an entry that cannot be used), BACKUP_NOT_FOUND (no such disk).
 */
export async function findChain(
  store: ObjectStore,
  backup: VmBackup,
  name: string,
  options: { readonly signal: AbortSignal },
): Promise<FoundChain> {
  try {
    return await search(store, backup, name, options);
  } catch (error) {
    throw error instanceof DatamoverError && EXPECTED.has(error.code) ? withLoss(backup.index, error) : error;
  }
}

const EXPECTED: ReadonlySet<string> = new Set(['CHAIN_BROKEN', 'METADATA_INVALID', 'BACKUP_NOT_FOUND']);

async function search(
  store: ObjectStore,
  backup: VmBackup,
  name: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<FoundChain> {
  const { index, tip, ids } = backup;
  const checkpoint = knownCheckpoint(index, tip, ids === undefined ? 'it was requested' : LISTED);
  const older = ids ?? [...neededBy(index, tip)].reverse();
  const file = findDisk(index, { tip: checkpoint, older }, name);
  const evidence = new Map<string, Evidence>();
  for (;;) {
    const walked = walkDown(backup, file.disk, evidence);
    if (walked.end.kind === 'base') return toChain(backup, walked.steps, { file, proof: walked.end.proof });
    const next = nextToAsk(walked, evidence);
    if (next === undefined) throw refusal(backup, { disk: file.disk, walked, evidence });
    evidence.set(next.object, await readEvidence(store, next.object, { signal }));
  }
}

interface Walked {
  /** Those whose layers can be used, tip first. */
  readonly steps: readonly UsableStep[];
  readonly end: Exclude<Step, { readonly kind: 'link' }>;
}

type UsableStep = Extract<Step, { readonly file: CatalogFile }>;

function walkDown({ index, tip, ids }: VmBackup, disk: string, evidence: ReadonlyMap<string, Evidence>): Walked {
  const context = { index, disk, flawOf: () => undefined, evidence };
  const steps: UsableStep[] = [];
  const seen = new Set<string>();
  for (let id = tip, place = (ids?.length ?? 0) - 1; ; place -= 1) {
    if (seen.has(id)) {
      const problem = `the parents of checkpoint ${tip} form a cycle at ${id}`;
      return { steps, end: { kind: 'broken', code: 'CHAIN_BROKEN', problem } };
    }
    seen.add(id);
    const step = stepAt(context, id, ids === undefined ? undefined : { before: ids[place - 1] });
    if ('file' in step) steps.push(step);
    if (step.kind !== 'link') return { steps, end: step };
    id = step.parent;
  }
}

/** Where the documents of one layer are in question, that layer; else every one that can be used, newest first. */
function nextToAsk({ steps, end }: Walked, evidence: ReadonlyMap<string, Evidence>): CatalogFile | undefined {
  const inQuestion = end.kind === 'open' ? [end.file] : [];
  return [...inQuestion, ...steps.map(({ file }) => file)].find(({ object }) => !evidence.has(object));
}

function toChain(
  { index, manifests = new Map() }: VmBackup,
  steps: readonly UsableStep[],
  { file, proof }: { readonly file: CatalogFile; readonly proof: ChainBase['proof'] },
): FoundChain {
  const layers = steps.toReversed().map(({ checkpoint, file: own }, place): CatalogLayer => {
    const { id, parent, timestamp } = checkpoint;
    return { checkpoint: id, type: place === 0 ? 'full' : 'incremental', parent, timestamp, file: own };
  });
  const [first, ...rest] = layers;
  if (first === undefined) throw new TypeError('a chain has a base but no layers');
  const ids = layers.map(({ checkpoint }) => checkpoint);
  const contradiction = orderContradiction(manifests, ids);
  if (contradiction !== undefined) {
    throw new DatamoverError('CHAIN_BROKEN', `VM ${vmText(index.vm)}: ${contradiction}`, {
      hint: 'compare the index and the manifest with another copy of the bucket, or choose another checkpoint',
    });
  }
  const order = orderOf(index, ids);
  const base = { checkpoint: first.checkpoint, proof };
  return { layers: [first, ...rest], tip: rest.at(-1) ?? first, base, order, file };
}

interface Refused {
  readonly disk: string;
  readonly walked: Walked;
  readonly evidence: ReadonlyMap<string, Evidence>;
}

/** What the strict proof by the documents says, completed by what vmb.json and the layers show. */
function refusal({ index, tip, ids }: VmBackup, { disk, walked, evidence }: Refused): DatamoverError {
  const { code, problem } = walked.end as Extract<Step, { readonly problem: string }>;
  const strict = failureOf(() =>
    ids === undefined ? chainFromIndex(index, tip, disk) : chainFromManifest(index, ids, disk),
  );
  const states = diskStates(index, disk, () => undefined, evidence);
  const restorable = [...states].filter(([, { state }]) => state === 'restorable').map(([id]) => id);
  const left = restorable.length === 0 ? 'no checkpoint' : `checkpoints ${listNames(restorable)}`;
  const hint = `by the documents, ${left} of disk ${disk} can be restored; kubevirt-datamover list shows what layers exist`;
  const own = new DatamoverError(code, `VM ${vmText(index.vm)}, disk ${disk}: ${problem}`, { hint });
  if (strict === undefined) return own;
  if (index.rebuilt === undefined && !problem.includes('vmb.json')) return strict;
  return new DatamoverError(strict.code, `${strict.message}; ${problem}`, { hint: strict.hint });
}

function failureOf(work: () => unknown): DatamoverError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof DatamoverError) return error;
    throw error;
  }
}
