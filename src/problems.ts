// Reports problems together: a check that fails leaves its problems in a list, and the checks after it still run.
import { DatamoverError, type ErrorCode, type Problem } from './errors.ts';

/**
 * The result of one check; undefined when it failed, its problems being added to `problems` then. Rejects as `problemsOf`
 * throws.
 */
export async function collect<T>(problems: Problem[], check: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await check();
  } catch (error) {
    problems.push(...problemsOf(error));
    return undefined;
  }
}

/** The result of one step; rejects with the problems that were known before and its own together. */
export async function withKnown<T>(known: readonly Problem[], step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw known.length === 0 ? error : DatamoverError.fromProblems([...known, ...problemsOf(error)], error);
  }
}

/** The problems of an expected failure; throws an error that is none, and one that is an answer by itself. */
export function problemsOf(error: unknown): readonly Problem[] {
  if (!(error instanceof DatamoverError) || ALONE.has(error.code)) throw error;
  return error.problems;
}

/** While another run of the plan is running, its targets and scratch space are its own, whatever a check would find. */
const ALONE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['CANCELLED', 'INTERNAL', 'SCRATCH_BUSY']);

/** Throws one error for all problems, in the plan's order: PVC by PVC, then what concerns no single one. */
export function throwProblems(
  problems: readonly Problem[],
  { pvcs }: { readonly pvcs: readonly { readonly name: string }[] },
): void {
  if (problems.length > 0) throw DatamoverError.fromProblems(inPlanOrder(problems, pvcs));
}

export function inPlanOrder(
  problems: readonly Problem[],
  pvcs: readonly { readonly name: string }[],
): readonly Problem[] {
  const places = new Map(pvcs.map(({ name }, index) => [name, index]));
  const place = ({ pvc }: Problem): number => (pvc === undefined ? undefined : places.get(pvc)) ?? pvcs.length;
  return problems.toSorted((a, b) => place(a) - place(b));
}
