// A chain that a plan writes out, compared with the bucket's documents: where they contradict its claim that the first layer is
// full, or say nothing of the layer, its own tables are read. A plan needs no documents: without any, its word counts.
import type { BackupFacts } from '../catalog/backup-facts.ts';
import { parseCheckpointPlace, vmPrefix } from '../catalog/keys.ts';
import { type Evidence, type Step, stepAt } from '../catalog/step.ts';
import { type IndexEntry, type Link, type VmIndex, withFacts } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { evidenceOfTables } from '../evidence/tables.ts';
import { readFacts } from '../inventory/facts.ts';
import { loadVmIndex } from '../inventory/vm-backup.ts';
import type { Plan } from '../plan/plan.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { CheckedChain, LayerCheck } from './check-layers.ts';
import type { ChainOrigin, CheckedLayer, Disk } from './disk.ts';
import { affordableTasks } from './handles.ts';

interface Options {
  readonly plan: Plan;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** The same check, each chain with its origin; CHAIN_BROKEN for one whose first layer is not proven against the documents. */
export async function confirmChains(store: ObjectStore, check: LayerCheck, options: Options): Promise<LayerCheck> {
  // Chains of one VM share its index, which is dropped when they are done: there may be thousands of VMs.
  const groups = [...Map.groupBy(check.chains, vmPrefixOf).values()];
  const answers = new Map<CheckedChain, CheckedChain | Problem>();
  await mapBounded(groups, { limit: affordableTasks(VMS), signal: options.signal }, async (chains, signal) => {
    const indexes = new Map<string, Promise<VmIndex | undefined>>();
    for (const chain of chains) {
      const known = chain.disk.origin !== undefined;
      answers.set(chain, known ? chain : await confirmChain(store, chain, { ...options, signal, indexes }));
    }
  });
  const chains: CheckedChain[] = [];
  const problems: Problem[] = [...check.problems];
  for (const chain of check.chains) {
    const answer = answers.get(chain) ?? chain;
    if ('code' in answer) problems.push(answer);
    else chains.push(answer);
  }
  return { chains, problems };
}

/** VMs at a time. */
const VMS = 16;

function vmPrefixOf({ layers: [first] }: CheckedChain): string {
  const place = parseCheckpointPlace(first.layer.object);
  return place === undefined ? '' : vmPrefix(place.vm);
}

type ConfirmOptions = Options & { readonly indexes: Map<string, Promise<VmIndex | undefined>> };

async function confirmChain(
  store: ObjectStore,
  chain: CheckedChain,
  options: ConfirmOptions,
): Promise<CheckedChain | Problem> {
  const confirmed = await confirm(store, chain, options);
  if ('code' in confirmed) return confirmed;
  const { warning, ...origin } = confirmed;
  const warnings = warning === undefined ? chain.warnings : [...chain.warnings, warning];
  return { ...chain, warnings, disk: { ...chain.disk, origin } };
}

async function confirm(
  store: ObjectStore,
  { disk, layers: [first] }: CheckedChain,
  { plan, progress, signal, indexes }: ConfirmOptions,
): Promise<(ChainOrigin & { readonly warning?: string }) | Problem> {
  const { checkpoint } = first.layer;
  const byPlan: ChainOrigin = {
    base: { checkpoint, proof: 'type' },
    order: plan.order === 'unproven' ? 'time' : 'manifest',
  };
  const place = parseCheckpointPlace(first.layer.object);
  if (place === undefined || place.checkpoint !== checkpoint) return byPlan;
  const tip = disk.layers.at(-1)?.checkpoint ?? checkpoint;
  const folder = `${place.vm.namespace}/${place.vm.name}`;
  const loading = indexes.get(folder) ?? loadIfReadable(store, place.vm, { signal });
  indexes.set(folder, loading);
  const ids = disk.layers.map((layer) => layer.checkpoint);
  const facts = await readFacts(store, place.vm, ids, { progress, signal });
  const failed = [...facts.values()].find(({ failure }) => failure !== undefined);
  if (failed !== undefined) return failedProblem(disk, failed);
  const known = await loading;
  const tipFacts = facts.get(tip);
  const origin = { ...byPlan, ...(tipFacts === undefined ? {} : { facts: tipFacts }) };
  const index = known === undefined ? undefined : withFacts(known, facts);
  const order: Link =
    index !== undefined && plan.order !== 'unproven' && isIndexed(index, disk.layers) ? 'index' : byPlan.order;
  const step = stepOf(index, first.layer) ?? stepByFacts(facts.get(checkpoint), disk);
  if (step?.kind === 'base') return { ...origin, order };
  const evidence = await evidenceOfTables(store, first, { signal });
  if (evidence.complete) return { ...origin, order, base: { checkpoint, proof: 'tables' } };
  if (step === undefined) {
    const warning = `${first.layer.object}: only the plan says that it is a full backup: no index and no vmb.json does, and ${evidence.shows}`;
    return { ...origin, order, warning };
  }
  const said = step.kind === 'link' ? `checkpoint ${checkpoint} is incremental, on ${step.parent}` : step.problem;
  return {
    pvc: disk.name,
    code: 'CHAIN_BROKEN',
    message: `${first.layer.object}: the plan says that the chain starts here, but by the documents ${said}; ${evidence.shows}`,
    hint: 'write the plan again with `kubevirt-datamover plan`, which finds where the chain starts',
  };
}

/** What the index says of the layer; undefined where it does not hold it. */
function stepOf(index: VmIndex | undefined, { checkpoint, object }: CheckedLayer['layer']): Step | undefined {
  const entry = index?.byId.get(checkpoint)?.[0];
  const files = entry?.flaw === undefined ? entry?.files : undefined;
  const file = files?.find((one) => one.object === object);
  if (index === undefined || file === undefined) return undefined;
  return stepAt({ index, disk: file.disk, flawOf: () => undefined, evidence: new Map<string, Evidence>() }, checkpoint);
}

/** What the archived backup alone says of it: one of a full proves the plan's claim, one of an incremental contradicts it. */
function stepByFacts(facts: BackupFacts | undefined, { name: pvc, disk: name = pvc }: Disk): OwnWord | undefined {
  if (facts?.type === undefined || facts.misplaced !== undefined) return undefined;
  const { key, type } = facts;
  if (type === 'incremental') return { kind: 'open', problem: `it is incremental (${key}: status.type)` };
  if (facts.volumes.get(name) !== 'incremental') return { kind: 'base' };
  return { kind: 'open', problem: `it is incremental (${key}: status.includedVolumes: ${name})` };
}

type OwnWord = { readonly kind: 'base' } | { readonly kind: 'open'; readonly problem: string };

function failedProblem({ name }: CheckedChain['disk'], { key, failure }: BackupFacts): Problem {
  return {
    pvc: name,
    code: 'CHAIN_BROKEN',
    message: `${key}: the backup of a checkpoint of the chain failed: ${failure}`,
    hint: 'restore a checkpoint that does not build on it; `kubevirt-datamover list` shows which',
  };
}

/** Undefined for an index that is missing, unreadable or denied. */
async function loadIfReadable(
  store: ObjectStore,
  vm: VmIndex['vm'],
  { signal }: { readonly signal: AbortSignal },
): Promise<VmIndex | undefined> {
  try {
    return await loadVmIndex(store, vm, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DatamoverError && error.code !== 'SOURCE_UNREACHABLE') return undefined;
    throw error;
  }
}

function isIndexed(index: VmIndex, layers: readonly { readonly checkpoint: string }[]): boolean {
  return layers.every(({ checkpoint }, place) => {
    const entry: IndexEntry | undefined = index.byId.get(checkpoint)?.[0];
    const before = layers[place - 1]?.checkpoint;
    return entry !== undefined && entry.flaw === undefined && (before === undefined || entry.parent === before);
  });
}
