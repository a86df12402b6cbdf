// `plan`: writes a plan from a backup in the bucket.
import { Command, InvalidArgumentError, Option } from 'commander';
import type { TakeChecksums } from '../../draft/checksums.ts';
import { type DraftFlags, draftOptions, parseWantedPvc, type WantedPvc } from '../flags/draft.ts';
import { acceptUnprovenOption, parseText, scratchOption } from '../flags/flags.ts';
import { addHelp, CREDENTIALS_SECTION } from '../flags/help.ts';
import { SOURCE_SECTION } from '../flags/source.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';
import { draftFromFlags } from './draft.ts';
import {
  type ChecksumFlags,
  checkChecksumFlags,
  checksumOptions,
  checksumTaker,
  type TakerOptions,
} from './plan-checksums.ts';

interface Flags extends DraftFlags, ChecksumFlags {
  readonly pvc?: readonly WantedPvc[];
  readonly scratch?: string;
  readonly acceptUnproven?: boolean;
  readonly skipBroken?: boolean;
}

export function planCommand(run: Run): Command {
  const command = new Command('plan');
  for (const option of draftOptions()) command.addOption(option);
  command
    .addOption(
      new Option('--pvc <name=target>', 'disk and its target; repeatable (default: all disks)').argParser(collectPvc),
    )
    .addOption(scratchOption())
    .addOption(acceptUnprovenOption())
    .addOption(new Option('--skip-broken', 'plan what can be restored, report what cannot'));
  for (const option of checksumOptions()) command.addOption(option);
  addHelp(command, {
    summary: 'create a plan from a backup',
    about:
      'Finds the disks of a VM in a backup, checks their chains, and prints a plan for restore: every layer with its ' +
      'size and, in comments, the bytes to fetch and the scratch space that each strategy needs.\n' +
      'With several VMs, the plan holds the disks of all of them, and a PVC is named NAMESPACE/VM/DISK. Without --backup, ' +
      'it takes the newest backup of each VM.\n' +
      'A disk without a target gets a placeholder. Replace it before the restore.\n' +
      'If a disk cannot be restored, plan prints no plan. With --skip-broken, it prints a plan of all other disks. The ' +
      'exit status still reports the problems (3 or 4), and the plan names them at its start.',
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
      {
        comment: 'every VM of a damaged backup, as far as it can be restored',
        command: 'kubevirt-datamover plan --source ./bucket --backup backup-004 --skip-broken > plan.yaml',
      },
      {
        comment: 'with the checksums of all layers; if it is interrupted, the same command resumes',
        command:
          'kubevirt-datamover plan --source s3://backups/velero-kubevirt-datamover --vm demo/web \\\n' +
          '    --checksums --checksums-file sums.jsonl > plan.yaml',
      },
    ],
    sections: [SOURCE_SECTION, CREDENTIALS_SECTION],
  });
  return command.action((flags: Flags) => run(command, (session) => plan(flags, session)));
}

/** `NAME=TARGET`, or `NAME` for the placeholder. */
function collectPvc(value: string, earlier: readonly WantedPvc[] | undefined): readonly WantedPvc[] {
  const wanted = parseWantedPvc(parseText(value));
  if (wanted !== undefined) return [...(earlier ?? []), wanted];
  throw new InvalidArgumentError('It must be NAME=TARGET, as in rootdisk=/dev/vg/rootdisk.');
}

async function plan(
  { pvc = [], acceptUnproven = false, skipBroken = false, ...flags }: Flags,
  session: Session,
): Promise<Outcome> {
  checkChecksumFlags(flags);
  const checksumsOf = (options: TakerOptions): TakeChecksums | undefined => checksumTaker(flags, options);
  const request = { ...flags, pvcs: pvc, acceptUnproven, skipBroken, checksumsOf };
  const { yaml, problems } = await draftFromFlags(request, session);
  return { document: await documentOf(yaml, session), text: yaml, problems };
}

/** Reading a plan of thousands of disks takes seconds, and only JSON needs it. */
async function documentOf(yaml: string, { flags }: Session): Promise<object> {
  if (flags.output !== 'json') return {};
  const { readText } = await import('../../plan/yaml-text.ts');
  return Object(readText(yaml).data);
}
