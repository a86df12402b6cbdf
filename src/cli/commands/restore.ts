// `restore [plan]`: the main job.
import { Command, Option } from 'commander';
import { pvcOption, type RestoreFlags, restoreOptions } from '../flags/flags.ts';
import { AWS_SECTION, addHelp, STRATEGIES_SECTION } from '../flags/help.ts';
import { loadPlan } from '../flags/load-plan.ts';
import type { Outcome } from '../session/outcome.ts';
import { withReport } from '../session/report.ts';
import type { Run, Session } from '../session/session.ts';
import { refuseConflicts, runRestore } from './run-restore.ts';

interface Flags extends RestoreFlags {
  readonly pvc?: readonly string[];
  readonly force?: boolean;
}

export function restoreCommand(run: Run): Command {
  const command = new Command('restore')
    .argument('[plan]', 'the plan, YAML or JSON; - reads it from standard input')
    .addOption(pvcOption('restore just this PVC of the plan; may be repeated'))
    .addOption(new Option('--force', 'overwrite targets that are not blank'));
  for (const option of restoreOptions()) command.addOption(option);
  addHelp(command, {
    summary: 'restore the PVCs of a plan onto their targets',
    about:
      'Restores every PVC of a plan, in its order, onto block devices or raw files. All of the plan is checked before ' +
      'the first byte is written: objects, chains, targets, scratch; all problems are told together.\n' +
      'The VMs that use the targets must be stopped. A run that was interrupted goes on when the same command is ' +
      'started again. The result goes to stdout, everything else to stderr.',
    examples: [
      {
        says: 'what would be done; nothing is written',
        command: 'kubevirt-datamover restore plan.yaml --scratch ./scratch --dry-run',
      },
      {
        says: 'restore, then compare each target with the backup',
        command: 'kubevirt-datamover restore plan.yaml --scratch ./scratch --verify compare',
      },
      {
        says: 'one PVC, without scratch space',
        command: 'kubevirt-datamover restore plan.yaml --pvc rootdisk --strategy stream',
      },
      { says: 'in a script', command: 'kubevirt-datamover restore - --output json --report result.json < plan.yaml' },
    ],
    sections: [
      STRATEGIES_SECTION,
      {
        title: 'Environment',
        lines: [
          'KUBEVIRT_DM_SCRATCH_PATH    the scratch folder when neither --scratch nor the plan names one;',
          '                            then /scratch, if it exists',
          'KUBEVIRT_DM_TERMINATION_LOG where a pod leaves its last words (/dev/termination-log)',
          'NO_COLOR, TERM=dumb         no colour, no live view',
        ],
      },
      AWS_SECTION,
    ],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => restore(plan, flags, session)),
  );
}

async function restore(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  refuseConflicts(flags);
  return await withReport(flags.report, session, async () => {
    const loaded = await loadPlan(argument, session);
    const own = { force: flags.force ?? false, ...(flags.pvc === undefined ? {} : { pvcs: flags.pvc }) };
    return await runRestore(loaded, flags, own, session);
  });
}
