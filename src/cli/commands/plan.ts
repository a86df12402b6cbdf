// `plan`: writes a plan from a backup in the bucket.
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { DatamoverError, type Problem } from '../../errors.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import type { PlanSource } from '../../plan/plan.ts';
import { collect } from '../../problems.ts';
import type { VmPattern } from '../../vm-pattern.ts';
import type { VmRef } from '../../vm-ref.ts';
import { acceptUnprovenOption, parseText, scratchOption } from '../flags/flags.ts';
import { AWS_SECTION, addHelp } from '../flags/help.ts';
import { parseSource, SOURCE_SECTION, type SourceFlags, sourceOptions } from '../flags/source.ts';
import { usageProblem } from '../flags/usage.ts';
import { vmPatternsOption } from '../flags/vm.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';
import { withStore } from './with-store.ts';

interface WantedPvc {
  readonly name: string;
  readonly target?: string;
}

interface Flags extends SourceFlags {
  readonly vm?: readonly VmPattern[];
  readonly backup?: string;
  readonly checkpoint?: string;
  readonly pvc?: readonly WantedPvc[];
  readonly scratch?: string;
  readonly acceptUnproven?: boolean;
}

export function planCommand(run: Run): Command {
  const command = new Command('plan');
  for (const option of sourceOptions()) command.addOption(option);
  command
    .addOption(new Option('--backup <name>', 'backup (default: newest of the VM)').argParser(parseText))
    .addOption(
      new Option('--checkpoint <id>', 'checkpoint, instead of a backup').argParser(parseText).conflicts('backup'),
    )
    .addOption(vmPatternsOption('VM, may hold * and ?; repeatable (with --backup, default: all)'))
    .addOption(
      new Option('--pvc <name=target>', 'disk and its target; repeatable (default: all disks)').argParser(collectPvc),
    )
    .addOption(scratchOption())
    .addOption(acceptUnprovenOption());
  addHelp(command, {
    summary: 'create a plan from a backup',
    about:
      'Finds the disks of a VM in a backup, checks their chains, and prints a plan for restore: every layer with its ' +
      'size and, in comments, the bytes to fetch and the scratch space that each strategy needs.\n' +
      'With several VMs, the plan holds the disks of all of them, and a PVC is named NAMESPACE/VM/DISK. Without --backup, ' +
      'it takes the newest backup of each VM.\n' +
      'A disk without a target gets a placeholder. Replace it before the restore.',
    examples: [
      {
        comment: 'newest backup of a VM, all disks; set the targets before the restore',
        command: 'kubevirt-datamover plan --source ./bucket --vm demo/web > plan.yaml',
      },
      {
        comment: 'one disk of one backup, ready to run',
        command:
          'kubevirt-datamover plan --source s3://backups/velero-kubevirt-datamover \\\n' +
          '    --vm demo/web --backup backup-004 --pvc rootdisk=/dev/vg/rootdisk > plan.yaml',
      },
      {
        comment: 'every VM of a backup; and the newest backup of each VM of two namespaces',
        command:
          'kubevirt-datamover plan --source ./bucket --backup backup-004 > plan.yaml\n' +
          "  kubevirt-datamover plan --source ./bucket --vm 'shop/*' --vm 'demo/*' > plan.yaml",
      },
    ],
    sections: [SOURCE_SECTION, AWS_SECTION],
  });
  return command.action((flags: Flags) => run(command, (session) => plan(flags, session)));
}

/** `NAME=TARGET`, or `NAME` for the placeholder. */
function collectPvc(value: string, earlier: readonly WantedPvc[] | undefined): readonly WantedPvc[] {
  const [, name = '', target] = /^([^=]*)(?:=(.*))?$/s.exec(parseText(value)) ?? [];
  if (name === '' || target === '') {
    throw new InvalidArgumentError('It must be NAME=TARGET, as in rootdisk=/dev/vg/rootdisk.');
  }
  return [...(earlier ?? []), target === undefined ? { name } : { name, target }];
}

/** A target as the shell's user means it; the plan may be moved, so it is written whole. */
function resolveTarget({ name, target }: WantedPvc, cwd: string): WantedPvc {
  return target === undefined ? { name } : { name, target: resolve(cwd, target) };
}

async function plan(flags: Flags, session: Session): Promise<Outcome> {
  const { cwd } = session;
  const { source, one } = await parseWhat(flags, cwd);
  const { backup, checkpoint, scratch } = flags;
  const common = {
    source,
    acceptUnproven: flags.acceptUnproven ?? false,
    pvcs: (flags.pvc ?? []).map((wanted) => resolveTarget(wanted, cwd)),
    ...omitUndefined({ backup, scratch: scratch === undefined ? undefined : { path: resolve(cwd, scratch) } }),
  };
  const { yaml } = await withStore(session, source, async (store, progress) => {
    const run = { progress, signal: session.signal };
    if (one !== undefined) {
      const { draftPlan } = await import('../../draft/draft-plan.ts');
      return await draftPlan(store, { ...common, ...run, vm: one, ...omitUndefined({ checkpoint }) });
    }
    const { draftPlanOfVms } = await import('../../draft/draft-vms.ts');
    return await draftPlanOfVms(store, { ...common, ...run, vms: flags.vm ?? [] });
  });
  return { document: await documentOf(yaml, session), text: yaml, problems: [] };
}

/** USAGE for what is missing or does not go together, in one list. */
async function parseWhat(
  { backup, checkpoint, vm: patterns = [], ...flags }: Flags,
  cwd: string,
): Promise<{ readonly source: PlanSource; readonly one: VmRef | undefined }> {
  const problems: Problem[] = [];
  const source = await collect(problems, () => parseSource(flags, cwd));
  const one = patterns.length === 1 ? patterns[0]?.vm : undefined;
  if (patterns.length === 0 && backup === undefined) {
    const hint = 'add --vm NAMESPACE/NAME, or --backup NAME for all its VMs; `kubevirt-datamover list` shows both';
    problems.push(usageProblem('no VM given', hint));
  } else if (checkpoint !== undefined && one === undefined) {
    problems.push(usageProblem('--checkpoint requires one VM', 'give one --vm NAMESPACE/NAME without * and ?'));
  }
  if (source === undefined || problems.length > 0) throw DatamoverError.fromProblems(problems);
  return { source, one };
}

/** Reading a plan of thousands of disks takes seconds, and only JSON needs it. */
async function documentOf(yaml: string, { flags }: Session): Promise<object> {
  if (flags.output !== 'json') return {};
  const { readText } = await import('../../plan/yaml-text.ts');
  return Object(readText(yaml).data);
}
