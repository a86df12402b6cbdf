// No path that a restore writes is one that it reads, or another one that it writes: asked before anything is written.
import { resolve } from 'node:path';
import type { Disk } from '../chain/disk.ts';
import type { Problem } from '../errors.ts';
import { pathOfObject, pathsOfSource } from '../paths/source-paths.ts';
import { RUNTIME_HINT } from '../paths/uses.ts';
import { planId } from '../plan/plan-id.ts';
import { workFolderPath } from '../scratch/layout.ts';
import type { Target } from '../target/target.ts';
import type { RestoreOptions } from './options.ts';

type PathOptions = Pick<RestoreOptions, 'plan' | 'strategy' | 'env' | 'paths'>;

export interface CheckPathsOptions {
  /** Each disk with its target, if that could be opened, else with why not. */
  readonly opened: readonly {
    readonly disk: Disk;
    readonly target?: Target;
    readonly problem?: readonly Problem[];
  }[];
  /** The directory of the work directory. */
  readonly root: string;
}

/** Every conflict among targets, work directory, and what the caller knows to be read or written besides. */
export async function checkPaths(options: PathOptions, { opened, root }: CheckPathsOptions): Promise<Problem[]> {
  const { paths, plan } = options;
  addSource(options);
  addWorkDirectory(options, root);
  for (const { disk, target, problem } of opened) {
    paths.reads(...disk.layers.flatMap(({ object }) => pathOfObject(plan.source, object)));
    // One that has another PVC's target is a problem already.
    if (target === undefined && problem?.some(({ code }) => code === 'PLAN_INVALID')) continue;
    paths.writes({
      kind: 'target',
      pvc: disk.name,
      path: disk.target,
      label: `target ${disk.target} of PVC ${disk.name}`,
      places: target?.written ?? [disk.target],
    });
  }
  return await paths.problems();
}

/** As `checkPaths`, before any target is opened; adds nothing to what the caller knows. */
export async function checkPathsBefore(
  options: PathOptions,
  { disks, root }: { readonly disks: readonly Disk[]; readonly root: string },
): Promise<Problem[]> {
  const opened = disks.map((disk) => ({ disk }));
  return await checkPaths({ ...options, paths: options.paths.copy() }, { opened, root });
}

/** The chains that are written out are of one backup, whether this run restores all of them or not. */
function addSource({ paths, plan, env }: PathOptions): void {
  paths.reads(...pathsOfSource(plan.source, env));
  const layers = plan.pvcs.flatMap(({ chain }) => chain ?? []);
  paths.reads(...layers.flatMap(({ object }) => pathOfObject(plan.source, object)));
}

function addWorkDirectory({ paths, plan, strategy }: PathOptions, root: string): void {
  const path = workFolderPath(resolve(root), planId(plan));
  paths.writes({ kind: 'work directory', path, tree: true, ...(strategy === 'stream' ? { hint: RUNTIME_HINT } : {}) });
}
