// `restore [plan]`: the main job.
import { Command, Option } from 'commander';
import { withKnown } from '../../problems.ts';
import { pvcOption, type RestoreFlags, restoreOptions } from '../flags/flags.ts';
import { addHelp, CREDENTIALS_SECTION, STRATEGIES_SECTION } from '../flags/help.ts';
import { SOURCE_SECTION } from '../flags/source.ts';
import type { Outcome } from '../session/outcome.ts';
import { withReport } from '../session/report.ts';
import type { Run, Session } from '../session/session.ts';
import { type PlanFlags, planOptions, planOrDraft } from './plan-or-draft.ts';
import { flagProblems, runRestore } from './run-restore.ts';

interface Flags extends RestoreFlags, PlanFlags {
  readonly force?: boolean;
}

export function restoreCommand(run: Run): Command {
  const command = new Command('restore')
    .argument('[plan]', 'the plan, YAML or JSON; - reads it from standard input')
    .addOption(pvcOption('restore only this PVC of the plan (without a plan: NAME=TARGET); repeatable'))
    .addOption(new Option('--force', 'overwrite targets that are not blank; restore completed PVCs again'));
  for (const option of [...restoreOptions(), ...planOptions()]) command.addOption(option);
  addHelp(command, {
    summary: 'restore the PVCs of a plan to their targets',
    about:
      'Restores the PVCs of the plan, in order, to block devices or files: raw, or qcow2 if the name ends in .qcow2. Checks all objects, chains, targets and ' +
      'scratch space before it writes anything, and reports every problem found.\n' +
      'Without a plan, the flags of the command plan name what is restored: --source, --vm, and --pvc NAME=TARGET for each ' +
      'disk.\n' +
      'To resume an interrupted restore, run the same command again. Stop the VMs that use the targets first. ' +
      'The result goes to stdout, everything else to stderr.',
    examples: [
      {
        comment: 'print what would be done, write nothing',
        command: 'kubevirt-datamover restore plan.yaml --scratch ./scratch --dry-run',
      },
      {
        comment: 'restore, then compare each target with the backup',
        command: 'kubevirt-datamover restore plan.yaml --scratch ./scratch --verify compare',
      },
      {
        comment: 'one PVC, without scratch space',
        command: 'kubevirt-datamover restore plan.yaml --pvc rootdisk --strategy stream',
      },
      {
        comment: 'without a plan: one disk of the newest backup of a VM; keep the plan that this makes',
        command:
          'kubevirt-datamover restore --source ./bucket --vm demo/web --pvc rootdisk=/dev/vg/rootdisk \\\n' +
          '    --strategy stream --save-plan plan.yaml',
      },
      {
        comment: 'in a script',
        command: 'kubevirt-datamover restore - --output json --report result.json < plan.yaml',
      },
    ],
    sections: [
      STRATEGIES_SECTION,
      {
        title: 'Environment',
        lines: [
          'KUBEVIRT_DM_SCRATCH_PATH    scratch directory, if neither --scratch nor the plan names one;',
          '                            then /scratch, if it exists',
          'KUBEVIRT_DM_TERMINATION_LOG file for the termination message (default /dev/termination-log)',
          'NO_COLOR, TERM=dumb         no colour, no live view',
        ],
      },
      SOURCE_SECTION,
      CREDENTIALS_SECTION,
    ],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => loadAndRestore(plan, flags, session)),
  );
}

async function loadAndRestore(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  return await withReport(flags.report, session, async (ofReport) => {
    const known = [...flagProblems(flags), ...ofReport];
    const { pvcs, note, ...loaded } = await withKnown(known, () => planOrDraft(argument, flags, session));
    const problems = [...known, ...loaded.problems];
    const own = { force: flags.force ?? false, ...(pvcs === undefined ? {} : { pvcs }) };
    return await runRestore({ ...loaded, problems }, flags, own, session, { note });
  });
}
