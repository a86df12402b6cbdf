// What becomes of a PVC in a run: words that the result, the log and the metrics share.

/**
 * `restored` by this run; `kept`: restored by an earlier run of the plan and not touched by this one; `pending`: not
 * started; `planned`: by a dry run.
 */
export type PvcState = 'restored' | 'kept' | 'failed' | 'pending' | 'planned';

/** The run that restored a PVC which a later run keeps. */
export interface KeptFrom {
  readonly runId: string;
  /** When it had written the target, ISO 8601 in UTC. */
  readonly finishedAt: string;
}
