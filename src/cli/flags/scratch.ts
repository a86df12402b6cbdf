// Where scratch lies: the flag, else the plan, else the environment, else /scratch if it is there.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Plan } from '../../plan/plan.ts';
import type { Context } from '../session/context.ts';
import { refuse } from './usage.ts';

const DEFAULT_SCRATCH = '/scratch';

/** Absolute, or undefined when nothing names a folder; commands that need one refuse that. USAGE for a variable in quotes. */
export function findScratch(
  flag: string | undefined,
  plan: Pick<Plan, 'scratch'>,
  { cwd, env }: Context,
): string | undefined {
  const named = flag ?? plan.scratch?.path ?? exported(env.KUBEVIRT_DM_SCRATCH_PATH);
  if (named !== undefined) return resolve(cwd, named);
  return existsSync(DEFAULT_SCRATCH) ? DEFAULT_SCRATCH : undefined;
}

/** An empty variable counts as unset; the line break of an `echo` is no part of it. */
function exported(value = ''): string | undefined {
  const path = value.replace(/[\r\n]+$/, '');
  if (/^(["']).*\1$/s.test(path)) {
    refuse('KUBEVIRT_DM_SCRATCH_PATH has a value in quotes', 'set it without quotes');
  }
  return path || undefined;
}
