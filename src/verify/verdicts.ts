// Collects what is found of each PVC, and gives the verdicts.
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Disk } from '../chain/disk.ts';
import { selectPvcs } from '../chain/resolve.ts';
import { newStats, type PvcStats } from '../chain/tally.ts';
import { isUnproven, unprovenMessage } from '../chain/unproven.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import { inPlanOrder } from '../problems.ts';
import type { VerifiedPvc, VerifyResult } from '../result.ts';
import type { LayerFindings, VerifyOptions } from './options.ts';

interface Findings {
  readonly problems: readonly Problem[];
  readonly suspicions: readonly Problem[];
}

/** What is known of each PVC so far. */
export class Verdicts {
  readonly #plan: Plan;
  readonly #names: readonly string[];
  readonly #data: boolean;
  readonly #problems: Problem[] = [];
  readonly #suspicions: Problem[] = [];
  readonly #disks = new Map<string, Disk>();
  readonly #chains = new Map<string, { readonly chain: CheckedChain; readonly tally: PvcStats }>();

  /** PVCs whose objects were all read through. */
  readonly #readThrough = new Set<string>();

  constructor({ plan, pvcs, data }: VerifyOptions) {
    this.#data = data;
    this.#plan = plan;
    this.#names = selectPvcs(plan, pvcs).map(({ name }) => name);
  }

  checked(disks: readonly Disk[], chains: readonly CheckedChain[], problems: readonly Problem[]): void {
    for (const disk of disks) this.#disks.set(disk.name, disk);
    for (const chain of chains) {
      this.#chains.set(chain.disk.name, { chain, tally: newStats(chain) });
      if (isUnproven(chain.disk)) this.#suspect(chain, unprovenMessage(chain.disk), 'CHAIN_BROKEN');
      for (const { layer, header } of chain.layers) {
        if (header.features.dirty) this.#suspect(chain, `${layer.object} was not closed cleanly (dirty bit)`);
      }
    }
    this.#problems.push(...problems);
  }

  read(chain: CheckedChain, index: number, { checked, outcome }: LayerFindings): void {
    this.#chains.get(chain.disk.name)?.tally.checked[index]?.push(...checked);
    if (outcome instanceof DatamoverError) this.#problems.push(...outcome.about(chain.disk.name).problems);
    else if (outcome.state === 'leaks') this.#suspect(chain, `${chain.layers[index]?.info.key} has leaked clusters`);
  }

  readThrough({ disk }: CheckedChain): void {
    this.#readThrough.add(disk.name);
  }

  #suspect({ disk }: CheckedChain, message: string, code: Problem['code'] = 'IMAGE_CORRUPT'): void {
    const hint = 'the layer can still be restored; check the tool that wrote it, and keep an older backup';
    this.#suspicions.push({ pvc: disk.name, code, message, hint });
  }

  /** Why a sound chain's data, which was to be read, was not read to its end. */
  #unread(name: string, error: DatamoverError | undefined): Problem[] {
    if (!this.#data || error === undefined || !this.#chains.has(name) || this.#readThrough.has(name)) return [];
    const { code, message, hint } = error.problems[0] ?? error;
    return [{ pvc: name, code, message: `its data was not read to the end: ${message}`, hint }];
  }

  document(seconds: number, error?: DatamoverError): VerifyResult {
    const problems = inPlanOrder([...this.#problems, ...(error?.problems ?? [])], this.#plan.pvcs);
    const first = problems[0];
    const result = error?.code === 'CANCELLED' ? 'cancelled' : first === undefined ? 'ok' : 'failed';
    const base = { version: 1 as const, result, seconds, problems } as const;
    const own = Map.groupBy(problems, ({ pvc }) => pvc);
    const suspicions = Map.groupBy(this.#suspicions, ({ pvc }) => pvc);
    const pvcs = this.#names.map((name) => {
      const found = { problems: own.get(name) ?? [], suspicions: suspicions.get(name) ?? [] };
      return this.#verdict(name, found, error);
    });
    if (first === undefined) return { ...base, pvcs };
    const { code, message, hint } = first;
    return { ...base, pvcs, error: { code, message, hint } };
  }

  #verdict(name: string, { problems, ...found }: Findings, error: DatamoverError | undefined): VerifiedPvc {
    const suspicions = [...found.suspicions, ...this.#unread(name, error)];
    const known = this.#chains.get(name);
    // What could not be looked at is not whole: nothing was proven of it.
    const broken = problems.length > 0 || known === undefined;
    return {
      name,
      verdict: broken ? 'broken' : suspicions.length > 0 ? 'suspect' : 'ok',
      problems: [...problems, ...suspicions],
      layers: (this.#disks.get(name)?.layers ?? []).map(({ checkpoint, object, size }, index) => ({
        checkpoint,
        object,
        size: known?.chain.layers[index]?.info.size ?? size ?? null,
        checked: known?.tally.checked[index] ?? [],
      })),
    };
  }
}
