// The socket of `serve`, and the directory of its own sockets, are none of what it reads.
import { DatamoverError } from '../errors.ts';
import type { Paths } from '../paths/paths.ts';
import { pathsOfSource } from '../paths/source-paths.ts';
import { RUNTIME_HINT } from '../paths/uses.ts';
import type { Plan } from '../plan/plan.ts';
import type { Listen } from '../qemu/nbd.ts';
import { chooseRuntimeFolder } from '../scratch/runtime-folder.ts';

export interface ServePathOptions {
  readonly plan: Plan;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  readonly scratch?: string;
  readonly paths: Paths;
  readonly listen: Listen | undefined;
}

/** USAGE, SCRATCH_UNUSABLE: every conflict in one error. Nothing has been written by then. */
export async function checkServePaths(options: ServePathOptions): Promise<void> {
  const { paths, plan, env, listen } = options;
  paths.reads(...pathsOfSource(plan.source, env));
  const path = await chooseRuntimeFolder(options);
  paths.writes({ kind: 'work directory', path, label: `runtime directory ${path}`, hint: RUNTIME_HINT });
  if (listen?.kind === 'unix') paths.writes({ kind: 'socket', path: listen.path });
  const problems = await paths.problems();
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
}
