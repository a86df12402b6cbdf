// The flags that say what a plan is drafted from: a source, VMs, a state, disks with their targets.
import { Option } from 'commander';
import { DatamoverError, type Problem } from '../../errors.ts';
import type { PlanSource } from '../../plan/plan.ts';
import { collect } from '../../problems.ts';
import type { VmPattern } from '../../vm-pattern.ts';
import type { VmRef } from '../../vm-ref.ts';
import { parseText } from './flags.ts';
import { parseSource, type SourceFlags, sourceOptions } from './source.ts';
import { usageProblem } from './usage.ts';
import { vmPatternsOption } from './vm.ts';

export interface WantedPvc {
  readonly name: string;
  readonly target?: string;
}

export interface DraftFlags extends SourceFlags {
  readonly vm?: readonly VmPattern[];
  readonly backup?: string;
  readonly checkpoint?: string;
}

/** The source, and which state of which VMs; `--pvc` differs by command. */
export function draftOptions(): Option[] {
  return [
    ...sourceOptions(),
    new Option('--backup <name>', 'backup (default: newest of the VM)').argParser(parseText),
    new Option('--checkpoint <id>', 'checkpoint, instead of a backup').argParser(parseText).conflicts('backup'),
    vmPatternsOption('VM, may hold * and ?; repeatable (with --backup, default: all)'),
  ];
}

/** `NAME=TARGET`, or `NAME`; undefined for anything else. */
export function parseWantedPvc(value: string): WantedPvc | undefined {
  const [, name = '', target] = /^([^=]*)(?:=(.*))?$/s.exec(value) ?? [];
  if (name === '' || target === '') return undefined;
  return target === undefined ? { name } : { name, target };
}

/** A checkpoint is one of a VM's. */
export function checkpointProblem(): Problem {
  return usageProblem('--checkpoint requires one VM', 'give one --vm NAMESPACE/NAME without * and ?');
}

/** USAGE for what is missing or does not go together, in one list. `one` is the VM, where the flags name just one. */
export async function parseDraftSource(
  { backup, checkpoint, vm: patterns = [], ...flags }: DraftFlags,
  cwd: string,
): Promise<{ readonly source: PlanSource; readonly one: VmRef | undefined }> {
  const problems: Problem[] = [];
  const source = await collect(problems, () => parseSource(flags, cwd));
  const one = patterns.length === 1 ? patterns[0]?.vm : undefined;
  if (patterns.length === 0 && backup === undefined) {
    const hint = 'add --vm NAMESPACE/NAME, or --backup NAME for all its VMs; `kubevirt-datamover list` shows both';
    problems.push(usageProblem('no VM given', hint));
  } else if (checkpoint !== undefined && one === undefined) {
    problems.push(checkpointProblem());
  }
  if (source === undefined || problems.length > 0) throw DatamoverError.fromProblems(problems);
  return { source, one };
}
