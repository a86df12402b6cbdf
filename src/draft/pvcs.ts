// The PVCs of a drafted plan: chains of the chosen disks, written out.
import { type CheckedChain, checkLayers, type LayerCheck } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { findChain } from '../chain/find-chain.ts';
import { layersOf, originOf } from '../chain/look-up.ts';
import { isUnproven, unprovenProblems } from '../chain/unproven.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { exitStatus } from '../exit-status.ts';
import type { VmBackup } from '../inventory/vm-backup.ts';
import { isResourceName } from '../kubernetes-names.ts';
import { omitUndefined } from '../omit-undefined.ts';
import { placeholderTarget } from '../plan/placeholder.ts';
import { DEFAULT_HEADROOM_PERCENT, type Plan, type PlanChain, type PlanPvc, type PlanSource } from '../plan/plan.ts';
import { qualifiedName } from '../plan/vms.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import type { TakeChecksums } from './checksums.ts';
import type { DraftPvc } from './disks.ts';

interface DraftScratch {
  readonly path?: string;
  readonly headroomPercent?: number;
}

/** What is drafted, whether for one VM or for several. */
export interface DraftCommon {
  /** As the plan will name it: a folder absolute. */
  readonly source: PlanSource;
  /** Undefined for the newest backup of each VM. */
  readonly backup?: string | undefined;
  /** The disks with their targets; none is all disks, with placeholder targets. */
  readonly pvcs: readonly DraftPvc[];
  readonly scratch?: DraftScratch | undefined;
  /** Write a plan whose order no document proves, marked as such. */
  readonly acceptUnproven?: boolean;
  /** Write a plan of what can be restored, where not all can be; undefined for a command that cannot be asked to. */
  readonly skipBroken?: boolean | undefined;
  readonly takeChecksums?: TakeChecksums | undefined;
  readonly progress?: Progress;
  readonly signal: AbortSignal;
}

interface Choice {
  /** In a plan of several VMs: PVCs are named `namespace/vm/disk`. */
  readonly qualified?: boolean;
  readonly found: VmBackup;
  readonly pvcs: readonly DraftPvc[];
  readonly signal: AbortSignal;
}

interface Resolved {
  readonly disks: readonly Disk[];
  /** Of the others. */
  readonly problems: readonly Problem[];
}

/** The chains of the disks, and every problem of every disk, as `findChain`. */
export async function resolveAll(
  store: ObjectStore,
  { found, pvcs, qualified = false, signal }: Choice,
): Promise<Resolved> {
  const disks: Disk[] = [];
  const problems: Problem[] = [];
  for (const { name: disk, target } of pvcs) {
    const name = qualified ? qualifiedName(found.index.vm, disk) : disk;
    try {
      const chain = await findChain(store, found, disk, { signal });
      const place = { name, ...(qualified ? { disk } : {}), target: target ?? placeholderTarget(name) };
      disks.push({ ...place, layers: layersOf(chain), origin: originOf(found, chain) });
    } catch (error) {
      if (!(error instanceof DatamoverError)) throw error;
      problems.push(...error.problems.map((problem) => ({ pvc: name, ...problem })));
    }
  }
  return { disks, problems };
}

/** A chain as a plan writes it out; `vm` and `backup` where they are not the plan's. */
export function toPvc(
  { disk, layers, virtualSize }: CheckedChain,
  { vm, backup }: { readonly vm?: VmRef; readonly backup?: string } = {},
): PlanPvc {
  const written = layers.map(({ layer, info }, index) => {
    const parent = layers[index - 1]?.layer.checkpoint;
    const { checkpoint, type, object, sha256 } = layer;
    return { checkpoint, type, ...omitUndefined({ parent }), object, size: info.size, ...omitUndefined({ sha256 }) };
  });
  const [first, ...rest] = written;
  if (first === undefined) throw new TypeError('a chain of no layers');
  const chain: PlanChain = [first, ...rest];
  const { pvcSize = 0, pvc } = disk.origin?.file ?? {};
  const own = disk.disk ?? disk.name;
  return {
    name: disk.name,
    ...omitUndefined({ disk: disk.disk, vm, backup }),
    ...(pvc === undefined || pvc === own || !isResourceName(pvc) ? {} : { claimName: pvc }),
    target: disk.target,
    // A volume may be larger than was asked for, and the disk with it: what the PVC must have is the disk's size.
    size: Math.max(pvcSize, virtualSize),
    chain,
  };
}

/** The layers of the disks, checked, with every problem of every disk, and those of an order that nothing proves. */
export async function checkDisks(
  store: ObjectStore,
  disks: readonly Disk[],
  {
    acceptUnproven = false,
    takeChecksums,
    ...options
  }: Pick<DraftCommon, 'acceptUnproven' | 'takeChecksums' | 'signal'> & { readonly limit?: number },
): Promise<LayerCheck> {
  const checksums = takeChecksums !== undefined;
  const { chains, problems } = await checkLayers(store, disks, { ...options, checksums });
  if (acceptUnproven) return { chains, problems };
  const refused = unprovenProblems(chains.map(({ disk }) => disk));
  return { chains: chains.filter(({ disk }) => !isUnproven(disk)), problems: [...problems, ...refused] };
}

/** Throws the problems, unless all of them are of backups that may be skipped, and something is left to restore. */
export function throwUnlessSkipped(
  problems: readonly Problem[],
  { skipBroken, left }: Pick<DraftCommon, 'skipBroken'> & { readonly left: number },
): void {
  if (problems.length === 0) return;
  const skippable = left > 0 && problems.every(isOfBackup);
  if (skippable && skipBroken === true) return;
  const [first, ...rest] = problems;
  if (!skippable || skipBroken === undefined || first === undefined) throw DatamoverError.fromProblems(problems);
  const way = 'to plan everything else, add --skip-broken';
  throw DatamoverError.fromProblems([{ ...first, hint: [first.hint, way].filter(Boolean).join('; ') }, ...rest]);
}

/** What keeps one backup from being restored. The command line, and a source that does not answer, concern all disks. */
function isOfBackup({ code }: Problem): boolean {
  return [3, 4].includes(exitStatus(code)) && code !== 'SOURCE_UNREACHABLE';
}

/** What a plan says before it names VMs and PVCs. */
export function planHead(
  { source, scratch }: Pick<DraftCommon, 'source' | 'scratch'>,
  chains: readonly CheckedChain[],
): Omit<Plan, 'pvcs'> {
  const unproven = chains.some(({ disk }) => isUnproven(disk));
  return { version: 1, source, ...scratchOf(scratch), ...(unproven ? { order: 'unproven' } : {}) };
}

export function atLeastOne([first, ...rest]: readonly PlanPvc[]): Plan['pvcs'] {
  if (first === undefined) throw new TypeError('a plan of no disks');
  return [first, ...rest];
}

/** Nothing when nothing is said: then flags and environment decide, as for any plan. */
function scratchOf(scratch: DraftScratch | undefined): Pick<Plan, 'scratch'> {
  const { path, headroomPercent = DEFAULT_HEADROOM_PERCENT } = scratch ?? {};
  if (path === undefined && headroomPercent === DEFAULT_HEADROOM_PERCENT) return {};
  return { scratch: { ...(path === undefined ? {} : { path }), headroomPercent } };
}
