// No path that a restore writes is one that it reads, or another one that it writes: asked before anything is written.
import { resolve } from 'node:path';
import type { SourceAnswer } from '../chain/ask-source.ts';
import type { Problem } from '../errors.ts';
import { pathOfObject, pathsOfSource } from '../paths/source-paths.ts';
import { RUNTIME_HINT } from '../paths/uses.ts';
import { isPlaceholder } from '../plan/placeholder.ts';
import type { PlanPvc } from '../plan/plan.ts';
import { planId } from '../plan/plan-id.ts';
import { workFolderPath } from '../scratch/layout.ts';
import type { Target } from '../target/target.ts';
import type { RestoreOptions } from './options.ts';

type PathOptions = Pick<RestoreOptions, 'plan' | 'problems' | 'strategy' | 'env' | 'paths'>;

export interface CheckPathsOptions {
  /** Each PVC with its target, if that could be opened, else with why not. */
  readonly opened: readonly {
    readonly pvc: PlanPvc;
    readonly target?: Target;
    readonly problem?: readonly Problem[];
  }[];
  readonly answer: Pick<SourceAnswer, 'disks'>;
  /** The directory of the work directory; undefined where none can be used. */
  readonly root: string | undefined;
}

/**
 * Every conflict among targets, work directory, and what the caller knows to be read or written besides; but for those that
 * opening the targets has found by itself.
 */
export async function checkPaths(
  options: PathOptions,
  { opened, answer, root }: CheckPathsOptions,
): Promise<Problem[]> {
  const { paths, plan } = options;
  addSource(options);
  if (root !== undefined) addWorkDirectory(options, root);
  for (const { layers } of answer.disks) {
    paths.reads(...layers.flatMap(({ object }) => pathOfObject(plan.source, object)));
  }
  for (const { pvc, target } of opened) {
    if (!isPlaceholder(pvc.target)) addTarget(options, pvc, target);
  }
  // A device that is mounted, or another PVC's: there is no more to say of it.
  // The same of two targets in one place, which reading the plan finds.
  const known = [
    ...(options.problems ?? []).map(({ code, pvc }) => `${code} ${pvc}`),
    ...opened.flatMap(({ pvc, problem = [] }) => problem.map(({ code }) => `${code} ${pvc.name}`)),
  ];
  return (await paths.problems()).filter(({ pvc, code }) => !known.includes(`${code} ${pvc}`));
}

/** The targets of the plan, before anything else is known, so that nothing that fails is reported onto one of them. */
export function addTargets(options: RestoreOptions): void {
  const { plan, pvcs } = options;
  for (const pvc of plan.pvcs) {
    if ((pvcs?.includes(pvc.name) ?? true) && !isPlaceholder(pvc.target)) addTarget(options, pvc);
  }
}

function addTarget(
  { paths }: PathOptions,
  { name, target: path }: Pick<PlanPvc, 'name' | 'target'>,
  opened?: Target | undefined,
): void {
  const label = `target ${path} of PVC ${name}`;
  paths.writes({ kind: 'target', pvc: name, path, label, ...(opened === undefined ? {} : { places: opened.written }) });
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
