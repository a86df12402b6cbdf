// Flags become a drafted plan: what `plan` prints, and what commands work with that are given a source in place of a plan.
import { resolve } from 'node:path';
import type { TakeChecksums } from '../../draft/checksums.ts';
import type { DraftedPlan } from '../../draft/draft-plan.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import { type DraftFlags, parseDraftSource, type WantedPvc } from '../flags/draft.ts';
import type { Session } from '../session/session.ts';
import type { TakerOptions } from './plan-checksums.ts';
import { withStore } from './with-store.ts';

export interface DraftRequest extends DraftFlags {
  /** None is all disks. */
  readonly pvcs: readonly WantedPvc[];
  readonly scratch?: string | undefined;
  readonly acceptUnproven: boolean;
  readonly skipBroken?: boolean | undefined;
  /** Bytes per second of all reads together. */
  readonly maxRate?: number | undefined;
  /** What takes the checksums of the layers; without it the plan has none. */
  readonly checksumsOf?: (options: TakerOptions) => TakeChecksums | undefined;
}

/** Rejects as `parseDraftSource`, `draftPlan` and `draftPlanOfVms`. */
export async function draftFromFlags(request: DraftRequest, session: Session): Promise<DraftedPlan> {
  const { cwd, signal } = session;
  const { backup, checkpoint, scratch, acceptUnproven, skipBroken, pvcs, vm = [] } = request;
  const { source, one } = await parseDraftSource(request, cwd);
  const common = {
    source,
    acceptUnproven,
    pvcs: pvcs.map((wanted) => resolveTarget(wanted, cwd)),
    ...omitUndefined({
      backup,
      skipBroken,
      scratch: scratch === undefined ? undefined : { path: resolve(cwd, scratch) },
    }),
  };
  return await withStore(session, { source, maxRate: request.maxRate }, async (store, progress) => {
    const takeChecksums = request.checksumsOf?.({ store, progress, session });
    const run = { progress, signal, takeChecksums };
    if (one !== undefined) {
      const { draftPlan } = await import('../../draft/draft-plan.ts');
      return await draftPlan(store, { ...common, ...run, vm: one, ...omitUndefined({ checkpoint }) });
    }
    const { draftPlanOfVms } = await import('../../draft/draft-vms.ts');
    return await draftPlanOfVms(store, { ...common, ...run, vms: vm });
  });
}

/** A target as the shell's user means it; the plan may be moved, so it is written whole. */
function resolveTarget({ name, target }: WantedPvc, cwd: string): WantedPvc {
  return target === undefined ? { name } : { name, target: resolve(cwd, target) };
}
