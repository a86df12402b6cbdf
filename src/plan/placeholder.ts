// The target that a drafted plan has until somebody fills it in.
import type { Problem } from '../errors.ts';
import type { Plan } from './plan.ts';

const PREFIX = '/dev/REPLACE-ME-';

export function placeholderTarget(pvc: string): string {
  return `${PREFIX}${pvc}`;
}

export function isPlaceholder(target: string): boolean {
  return target.startsWith(PREFIX);
}

/** PLAN_INVALID for each PVC (of `pvcs`, or all) whose target is still the placeholder. */
export function placeholderProblems(
  plan: Plan,
  { pvcs }: { readonly pvcs?: readonly string[] | undefined } = {},
): Problem[] {
  return plan.pvcs
    .filter(({ name, target }) => isPlaceholder(target) && (pvcs === undefined || pvcs.includes(name)))
    .map(({ name, target }) => ({
      pvc: name,
      code: 'PLAN_INVALID' as const,
      message: `the target of PVC ${name} is still the placeholder ${target}`,
      hint: `set its target to a block device or file, or select other PVCs with --pvc`,
    }));
}
