// What is known of each selected PVC so far, and the result document that comes of it.

import type { Disk } from '../chain/disk.ts';
import { type PvcOutcome, pvcResult } from '../chain/tally.ts';
import type { DatamoverError, Problem } from '../errors.ts';
import type { PvcResult, RestoreResult } from '../result.ts';
import type { RestoreOptions } from './options.ts';

/** Every PVC is pending until it was restored or failed. */
export class Outcomes {
  readonly #options: RestoreOptions;
  readonly #pvcs: Map<string, PvcOutcome>;
  readonly #tools: Record<string, string> = {};

  constructor(options: RestoreOptions) {
    this.#options = options;
    const { plan, pvcs, strategy } = options;
    const selected = plan.pvcs.filter(({ name }) => pvcs === undefined || pvcs.includes(name));
    this.#pvcs = new Map(
      selected.map(({ name, target, chain }) => [
        name,
        { disk: { name, target, layers: chain ?? [] }, state: 'pending', strategy },
      ]),
    );
  }

  /** Of a tool that the run uses. */
  usesTool(name: string, version: string): void {
    this.#tools[name] = version;
  }

  resolved(disks: readonly Disk[]): void {
    for (const disk of disks) this.ended({ disk, state: 'pending', strategy: this.#options.strategy });
  }

  ended(outcome: PvcOutcome): void {
    this.#pvcs.set(outcome.disk.name, outcome);
  }

  document(seconds: number, error?: DatamoverError): RestoreResult {
    const tools = this.#tools;
    if (error === undefined) return { version: 1, result: 'ok', pvcs: this.#results([]), seconds, tools };
    const { problems } = error;
    const { code, message, hint } = problems[0] ?? error;
    return {
      version: 1,
      result: error.code === 'CANCELLED' ? 'cancelled' : 'failed',
      pvcs: this.#results(problems),
      seconds,
      tools,
      error: { code, message, hint },
      problems,
    };
  }

  #results(problems: readonly Problem[]): PvcResult[] {
    return [...this.#pvcs.values()].map((outcome) => {
      const failed = outcome.state === 'pending' && problems.some(({ pvc }) => pvc === outcome.disk.name);
      return pvcResult(failed ? { ...outcome, state: 'failed' } : outcome);
    });
  }
}
