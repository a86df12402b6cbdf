// The source and the VM of commands that need both.
import { DatamoverError, type Problem } from '../../errors.ts';
import type { PlanSource } from '../../plan/plan.ts';
import { collect } from '../../problems.ts';
import type { VmRef } from '../../vm-ref.ts';
import { parseSource, type SourceFlags } from './source.ts';
import { usageProblem } from './usage.ts';

export interface VmSourceFlags extends SourceFlags {
  readonly vm?: VmRef;
}

/** USAGE for what is missing or wrong of both, in one list. */
export async function parseVmSource(
  { vm, ...flags }: VmSourceFlags,
  cwd: string,
): Promise<{ readonly source: PlanSource; readonly vm: VmRef }> {
  const problems: Problem[] = [];
  const source = await collect(problems, () => parseSource(flags, cwd));
  if (vm === undefined) {
    problems.push(usageProblem('no VM given', 'add --vm NAMESPACE/NAME; `kubevirt-datamover list` shows the VMs'));
  }
  if (source === undefined || vm === undefined) throw DatamoverError.fromProblems(problems);
  return { source, vm };
}
