// The plan of a command: a file, or drafted from a source that the flags name, and saved where the user asks for it.

import { Option } from 'commander';
import type { DraftedPlan } from '../../draft/draft-plan.ts';
import { isPlaceholder } from '../../plan/placeholder.ts';
import { planId } from '../../plan/plan-id.ts';
import { count } from '../../units.ts';
import { type DraftFlags, draftOptions, parseWantedPvc, type WantedPvc } from '../flags/draft.ts';
import { parseText } from '../flags/flags.ts';
import { type LoadedPlan, loadPlan } from '../flags/load-plan.ts';
import { refuse } from '../flags/usage.ts';
import type { Session } from '../session/session.ts';
import { draftFromFlags } from './draft.ts';
import { savePlan } from './save-plan.ts';

export interface PlanFlags extends DraftFlags {
  readonly pvc?: readonly string[];
  readonly savePlan?: string;
  readonly acceptUnproven?: boolean;
}

/** The flags that stand for a plan. */
export function draftedPlanOptions(): Option[] {
  return draftOptions().map((option) => option.helpGroup(GROUP));
}

/** The same, for a command that may have to be run again. */
export function planOptions(): Option[] {
  const save = new Option('--save-plan <file>', 'also write the plan that the flags make to this file');
  return [...draftedPlanOptions(), save.argParser(parseText).helpGroup(GROUP)];
}

const GROUP = 'In place of a plan:';

export interface PlanOrDraft extends LoadedPlan {
  /** PVCs of the plan that are meant; undefined for all. */
  readonly pvcs: readonly string[] | undefined;
  /** What the user should know of a plan that was drafted. */
  readonly note: string | undefined;
}

/**
 * The plan that `argument` names, or that the flags make: each PVC of it has a target then. Rejects as `loadPlan` and
 * `draftFromFlags`; USAGE for a plan and flags that stand for one, and for a disk without a target.
 */
export async function planOrDraft(
  argument: string | undefined,
  flags: PlanFlags,
  session: Session,
): Promise<PlanOrDraft> {
  const { pvc, savePlan: saved, acceptUnproven = false } = flags;
  if (!standsForPlan(flags, argument)) return { ...(await loadPlan(argument, session)), pvcs: pvc, note: undefined };
  const drafted = await draftFromFlags({ ...flags, pvcs: (pvc ?? []).map(wantedOf), acceptUnproven }, session);
  const open = drafted.plan.pvcs.filter(({ target }) => isPlaceholder(target)).map(({ name }) => name);
  if (open.length > 0) {
    const wanted = open.map((name) => `--pvc ${name}=TARGET`).join(' ');
    refuse(`no target given for ${open.join(', ')}`, `add ${wanted}; PVCs that are not named are not restored then`);
  }
  const { readPlanToCheck } = await import('../../plan/read.ts');
  const read = await readPlanToCheck({ text: drafted.yaml, cwd: session.cwd, where: 'plan' });
  if (saved !== undefined) await savePlan(saved, drafted.yaml, session);
  return { ...read, pvcs: undefined, note: noteOf(drafted, flags) };
}

/** As `planOrDraft`, for a command that writes nothing: `pvcs` are names, and an unproven order is accepted. */
export async function planOrDraftWithoutTargets(
  argument: string | undefined,
  { pvcs, ...flags }: DraftFlags & { readonly pvcs: readonly string[] },
  session: Session,
): Promise<LoadedPlan> {
  if (!standsForPlan(flags, argument)) return await loadPlan(argument, session);
  const wanted = pvcs.map((name) => ({ name }));
  const { plan } = await draftFromFlags({ ...flags, pvcs: wanted, acceptUnproven: true }, session);
  return { plan, problems: [] };
}

/** USAGE where flags and a plan are given. */
function standsForPlan(flags: DraftFlags & { readonly savePlan?: string }, argument: string | undefined): boolean {
  const given = planOptions().filter((option) => option.attributeName() in flags);
  if (given.length === 0) return false;
  if (argument === undefined) return true;
  const names = given.map(({ long }) => long).join(', ');
  return refuse(
    `${names} cannot be combined with the plan ${argument}`,
    'remove the plan or the flags; a target belongs to its PVC: --pvc NAME=TARGET',
  );
}

function wantedOf(value: string): WantedPvc {
  return parseWantedPvc(value) ?? refuse(`invalid --pvc ${value}`, 'use NAME=TARGET, as in rootdisk=/dev/vg/rootdisk');
}

/** A newer backup makes another plan of the same flags: what was fetched for this one is used again with its name only. */
function noteOf({ plan }: DraftedPlan, { backup, checkpoint }: DraftFlags): string {
  const what = `plan ${planId(plan)}: ${count(plan.pvcs.length, 'PVC')}`;
  if (backup !== undefined || checkpoint !== undefined) return what;
  if (plan.backup === undefined) return `${what}, the newest backup of each VM`;
  return `${what}, backup ${plan.backup}; to resume this run after a newer backup was made, add --backup ${plan.backup}`;
}
