// Looks up the chains of PVCs in the bucket, VM by VM: each document of a VM is read once, however many of its backups are meant.
import type { BackupFacts } from '../catalog/backup-facts.ts';
import type { CatalogChain } from '../catalog/chain.ts';
import type { VmIndex } from '../catalog/vm-index.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { loadOrRebuildIndex, loadVmBackup, loadVmCheckpoint, type VmBackup } from '../inventory/vm-backup.ts';
import type { PlanPvc } from '../plan/plan.ts';
import { diskOf } from '../plan/vms.ts';
import { problemsOf } from '../problems.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import type { ChainOrigin, Disk, Layer } from './disk.ts';
import { type FoundChain, findChain } from './find-chain.ts';

interface LookUpOptions {
  readonly store: ObjectStore;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** As of a backup, or of a checkpoint, whether a backup contains it or not. */
export type StateRef = { readonly backup: string } | { readonly checkpoint: string };

/** The states of one VM, each loaded once; its index is read for the first of them, unless it is known. */
export class VmLookUp {
  readonly #vm: VmRef;
  readonly #options: LookUpOptions;
  readonly #facts = new Map<string, Promise<BackupFacts | undefined>>();
  readonly #loaded = new Map<string, Promise<VmBackup>>();
  #index: Promise<VmIndex> | undefined;

  constructor(vm: VmRef, options: LookUpOptions, known: { readonly index?: VmIndex } = {}) {
    this.#vm = vm;
    this.#options = options;
    if (known.index !== undefined) this.#index = Promise.resolve(known.index);
  }

  /** Uses a state that was loaded. */
  add(state: StateRef, found: VmBackup): void {
    reportRebuilt(found.index, this.#options.progress);
    this.#loaded.set(JSON.stringify(state), Promise.resolve(found));
  }

  /** Rejects as `loadVmBackup` and `loadVmCheckpoint`. */
  async state(state: StateRef): Promise<VmBackup> {
    const key = JSON.stringify(state);
    const loading = this.#loaded.get(key) ?? this.#load(state);
    this.#loaded.set(key, loading);
    return await loading;
  }

  /** The disk of a PVC in a state. Rejects as `state` and `findChain`. */
  async disk(pvc: PlanPvc, state: StateRef): Promise<Disk> {
    const { store, signal } = this.#options;
    const from = await this.state(state);
    const chain = await findChain(store, from, diskOf(pvc), { signal });
    return { ...placeOf(pvc), layers: layersOf(chain), origin: originOf(from, chain) };
  }

  async #load(state: StateRef): Promise<VmBackup> {
    const { store, progress, signal } = this.#options;
    this.#index ??= loadOrRebuildIndex(store, this.#vm, { progress, signal });
    const known = await this.#index;
    const options = { progress, signal, facts: this.#facts };
    const found =
      'backup' in state
        ? await loadVmBackup(store, { vm: this.#vm, backup: state.backup, known }, options)
        : await loadVmCheckpoint(store, { vm: this.#vm, checkpoint: state.checkpoint, known }, options);
    reportRebuilt(found.index, progress);
    return found;
  }
}

/** The disks of PVCs as they are looked up, and what is wrong with them. A source that does not answer is not asked again. */
export class LookedUp {
  readonly #answers = new Map<PlanPvc, Disk | readonly Problem[]>();
  readonly #ofSource = new Map<string, Problem>();
  #unreachable: DatamoverError | undefined;

  /** Awaits the disk of a PVC. Rejects as `problemsOf`, and when `signal` is aborted. */
  async add(pvc: PlanPvc, lookUp: () => Promise<Disk> | Disk, signal: AbortSignal): Promise<void> {
    try {
      if (pvc.chain === undefined && this.#unreachable !== undefined) throw this.#unreachable;
      this.#answers.set(pvc, await lookUp());
    } catch (error) {
      signal.throwIfAborted();
      const found = problemsOf(error);
      if (error instanceof DatamoverError && error.code === 'SOURCE_UNREACHABLE') this.#unreachable ??= error;
      // Several VMs may have met the same failure of the source at the same time.
      if (!EXPECTED_CODES.has(found[0]?.code ?? '')) {
        for (const problem of found) this.#ofSource.set(JSON.stringify(problem), problem);
      } else {
        const own = found.map((problem) => ({ ...problem, pvc: pvc.name }));
        this.#answers.set(pvc, own);
      }
    }
  }

  /** In the order of `pvcs`: the disks, then the problems of the others; last what concerns the source. */
  of(pvcs: readonly PlanPvc[]): { readonly disks: Disk[]; readonly problems: Problem[] } {
    const disks: Disk[] = [];
    const problems: Problem[] = [];
    for (const pvc of pvcs) {
      const answer = this.#answers.get(pvc) ?? [];
      if ('layers' in answer) disks.push(answer);
      else problems.push(...answer);
    }
    return { disks, problems: [...problems, ...this.#ofSource.values()] };
  }
}

/** What concerns the PVC whose chain was looked up; any other failure is the source's. */
const EXPECTED_CODES: ReadonlySet<string> = new Set([
  'CHAIN_BROKEN',
  'METADATA_INVALID',
  'BACKUP_NOT_FOUND',
  'OBJECT_MISSING',
  'USAGE',
]);

/** What a disk has from its PVC in the plan. */
export function placeOf({ name, disk, target, size }: PlanPvc): Pick<Disk, 'name' | 'disk' | 'target' | 'size'> {
  return { name, target, ...(disk === undefined ? {} : { disk }), ...(size === undefined ? {} : { size }) };
}

/** What a chain that was looked up rests on. */
export function originOf({ index }: VmBackup, { base, order, file, tip }: FoundChain): ChainOrigin {
  const entry = index.byId.get(tip.checkpoint)?.[0];
  return { base, order, file, facts: entry?.flaw === undefined ? entry?.facts : undefined };
}

export function layersOf({ layers: [first, ...rest] }: CatalogChain): Disk['layers'] {
  return [foundLayer(first), ...rest.map(foundLayer)];
}

function foundLayer({ checkpoint, type, file }: CatalogChain['tip']): Layer {
  const { object, size } = file;
  return { checkpoint, type, object, ...(size === undefined ? {} : { size }) };
}

/** Says that an index was rebuilt, and from what. */
export function reportRebuilt({ rebuilt }: VmBackup['index'], progress: Progress): void {
  if (rebuilt === undefined) return;
  progress.report({ type: 'warning', message: rebuilt.lost.message });
  for (const message of rebuilt.notes) progress.report({ type: 'info', message });
}
