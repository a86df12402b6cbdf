// `plan`: writes a plan from a backup in the bucket.
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { omitUndefined } from '../../omit-undefined.ts';
import { acceptUnprovenOption, parseText, scratchOption } from '../flags/flags.ts';
import { AWS_SECTION, addHelp } from '../flags/help.ts';
import { SOURCE_SECTION, sourceOptions } from '../flags/source.ts';
import { vmOption } from '../flags/vm.ts';
import { parseVmSource, type VmSourceFlags } from '../flags/vm-source.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';
import { withStore } from './with-store.ts';

interface WantedPvc {
  readonly name: string;
  readonly target?: string;
}

interface Flags extends VmSourceFlags {
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
    .addOption(vmOption('virtual machine'))
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

async function plan(
  { backup, checkpoint, pvc, scratch, acceptUnproven = false, ...flags }: Flags,
  session: Session,
): Promise<Outcome> {
  const { cwd, signal } = session;
  const { source, vm } = await parseVmSource(flags, cwd);
  const { draftPlan } = await import('../../draft/draft-plan.ts');
  const { readText } = await import('../../plan/yaml-text.ts');
  const { yaml } = await withStore(session, source, (store, progress) =>
    draftPlan(store, {
      source,
      vm,
      acceptUnproven,
      progress,
      pvcs: (pvc ?? []).map((wanted) => resolveTarget(wanted, cwd)),
      signal,
      ...omitUndefined({
        backup,
        checkpoint,
        scratch: scratch === undefined ? undefined : { path: resolve(cwd, scratch) },
      }),
    }),
  );
  const { data } = readText(yaml);
  return { document: Object(data), text: yaml, problems: [] };
}
