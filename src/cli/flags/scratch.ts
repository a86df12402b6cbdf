// Where scratch lies: the flag, else the plan, else the environment, else /scratch if it is there.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Plan } from '../../plan/plan.ts';
import type { Context } from '../session/context.ts';

const DEFAULT_SCRATCH = '/scratch';

/** Absolute, or undefined when nothing names a folder; commands that need one refuse that. */
export function findScratch(flag: string | undefined, plan: Plan, { cwd, env }: Context): string | undefined {
  const named = flag ?? plan.scratch?.path ?? (env.KUBEVIRT_DM_SCRATCH_PATH || undefined);
  if (named !== undefined) return resolve(cwd, named);
  return existsSync(DEFAULT_SCRATCH) ? DEFAULT_SCRATCH : undefined;
}
