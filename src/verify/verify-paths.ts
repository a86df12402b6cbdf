// What `verify` writes (layers in scratch, sockets, a report) is none of what it reads.
import { resolve } from 'node:path';
import type { Problem } from '../errors.ts';
import type { Paths } from '../paths/paths.ts';
import { pathsOfSource } from '../paths/source-paths.ts';
import { RUNTIME_HINT } from '../paths/uses.ts';
import type { Plan } from '../plan/plan.ts';
import { planId } from '../plan/plan-id.ts';
import { workFolderPath } from '../scratch/layout.ts';
import { chooseRuntimeFolder } from '../scratch/runtime-folder.ts';

export interface VerifyPathOptions {
  readonly plan: Plan;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  readonly scratch?: string;
  readonly paths: Paths;
  readonly data: boolean;
}

/** Every conflict: USAGE, SCRATCH_UNUSABLE. Nothing has been written by then. */
export async function checkVerifyPaths(options: VerifyPathOptions): Promise<Problem[]> {
  const { paths, plan, env, scratch, data } = options;
  paths.reads(...pathsOfSource(plan.source, env));
  if (data && scratch !== undefined) {
    paths.writes({ kind: 'work directory', path: workFolderPath(resolve(scratch), verifyId(plan)), tree: true });
  } else if (data) {
    const path = await chooseRuntimeFolder(options);
    paths.writes({ kind: 'work directory', path, label: `runtime directory ${path}`, hint: RUNTIME_HINT });
  }
  return await paths.problems();
}

/** Of the work directory: another one than a restore of the same plan has. */
export function verifyId(plan: Plan): string {
  return `verify-${planId(plan)}`;
}
