// `verify <plan>`: checks that a backup can be restored.
import { Command, Option } from 'commander';
import { DatamoverError, type Problem } from '../../errors.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import type { Plan } from '../../plan/plan.ts';
import { withKnown } from '../../problems.ts';
import type { VerifyBucketOptions } from '../../verify/verify-bucket.ts';
import type { VmPattern } from '../../vm-pattern.ts';
import { checkpointProblem } from '../flags/draft.ts';
import { parseText, pvcOption, readingOptions, reportOption, scratchOption } from '../flags/flags.ts';
import { addHelp, CREDENTIALS_SECTION } from '../flags/help.ts';
import { loadPlan } from '../flags/load-plan.ts';
import { findScratch } from '../flags/scratch.ts';
import { parseSource, SOURCE_SECTION, type SourceFlags, sourceOptions } from '../flags/source.ts';
import { usageProblem } from '../flags/usage.ts';
import { vmPatternsOption } from '../flags/vm.ts';
import { withProgress } from '../progress/progress.ts';
import { renderVerdictSum, renderVerify } from '../render/verify.ts';
import type { Outcome } from '../session/outcome.ts';
import { withReport } from '../session/report.ts';
import type { Run, Session } from '../session/session.ts';

interface Flags extends SourceFlags {
  readonly backup?: string;
  readonly checkpoint?: string;
  readonly latest?: boolean;
  readonly vm?: readonly VmPattern[];
  readonly maxRate?: number;
  readonly pvc?: readonly string[];
  readonly data?: boolean;
  readonly scratch?: string;
  readonly concurrency?: number;
  readonly partSize?: number;
  readonly checksums: boolean;
  readonly report?: string;
}

export function verifyCommand(run: Run): Command {
  const command = new Command('verify')
    .argument('[plan]', 'the plan, YAML or JSON; - reads it from standard input')
    .addOption(pvcOption('verify only this PVC of the plan, or this disk of the source; repeatable'))
    .addOption(new Option('--data', 'read all data: verify checksums, run qemu-img check on each layer'))
    .addOption(scratchOption());
  for (const option of readingOptions()) command.addOption(option);
  command.addOption(new Option('--no-checksums', 'do not verify the checksums of the plan and the store'));
  command.addOption(reportOption());
  for (const option of sourceOptions()) command.addOption(option);
  command
    .addOption(new Option('--backup <name>', 'with --source: only this backup').argParser(parseText))
    .addOption(
      new Option('--checkpoint <id>', 'with --source and one --vm: only this checkpoint')
        .argParser(parseText)
        .conflicts(['backup', 'latest']),
    )
    .addOption(new Option('--latest', 'with --source: only the newest backup of each VM').conflicts('backup'))
    .addOption(vmPatternsOption('with --source: only this VM, may hold * and ?; repeatable'));
  addHelp(command, {
    summary: 'check that a backup can be restored, without restoring it',
    about:
      'Runs all checks of a restore except those of targets. Without --data it reads a few KiB of each layer. With ' +
      '--data it reads all data, one layer at a time: in scratch if a scratch directory is set, else in memory.\n' +
      'With --source in place of a plan it checks everything that the source holds: every backup of every VM, or those that ' +
      '--backup, --checkpoint, --latest, --vm and --pvc select. It reads each layer once.\n' +
      'Each disk is ok, suspect (it has a defect that a restore tolerates, or not all data could be read) or broken.',
    examples: [
      {
        comment: 'check that all layers exist and form complete chains',
        command: 'kubevirt-datamover verify plan.yaml',
      },
      {
        comment: 'restore test: read all data',
        command: 'kubevirt-datamover verify plan.yaml --data --scratch /var/tmp',
      },
      {
        comment: 'all data of the newest backup of each VM, at 50 MiB/s',
        command:
          'kubevirt-datamover verify --source s3://backups/velero-kubevirt-datamover --latest --data --max-rate 50Mi',
      },
      {
        comment: 'one disk of a VM at a checkpoint',
        command: 'kubevirt-datamover verify --source ./bucket --vm demo/web --checkpoint cp-002 --pvc rootdisk',
      },
    ],
    sections: [SOURCE_SECTION, CREDENTIALS_SECTION],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => verify(plan, flags, session)),
  );
}

async function verify(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  return await withReport(flags.report, session, async (ofReport) => {
    const isBucket = flags.source !== undefined;
    const problems = [...ofReport, ...flagProblems(argument, flags)];
    return isBucket
      ? await verifySource(flags, session, problems)
      : await verifyPlanFile(argument, flags, session, problems);
  });
}

async function verifyPlanFile(
  argument: string | undefined,
  flags: Flags,
  session: Session,
  known: readonly Problem[],
): Promise<Outcome> {
  const { plan, problems: ofPlan } = await withKnown(known, () => loadPlan(argument, session));
  const problems = [...known, ...ofPlan];
  const { verifyPlan } = await import('../../verify/verify.ts');
  const { pvc: pvcs } = flags;
  const result = await withProgress(session, undefined, (progress) =>
    verifyPlan({ plan, problems, progress, ...commonOptions(flags, plan, session), ...omitUndefined({ pvcs }) }),
  );
  return { document: result, text: renderVerify(result), problems: result.problems };
}

async function verifySource(flags: Flags, session: Session, known: readonly Problem[]): Promise<Outcome> {
  const source = await withKnown(known, () => parseSource(flags, session.cwd));
  if (known.length > 0) throw DatamoverError.fromProblems(known);
  const { verifyBucket } = await import('../../verify/verify-bucket.ts');
  const { vm: vms = [], pvc: disks } = flags;
  const states = statesOf(flags);
  const result = await withProgress(session, undefined, (progress) =>
    verifyBucket({
      source,
      vms,
      states,
      progress,
      ...omitUndefined({ disks }),
      ...commonOptions(flags, {}, session),
    }),
  );
  return { document: result, text: renderVerify(result) + renderVerdictSum(result), problems: result.problems };
}

function statesOf({ backup, checkpoint, latest = false, vm: patterns }: Flags): VerifyBucketOptions['states'] {
  const vm = patterns?.[0]?.vm;
  if (checkpoint !== undefined && vm !== undefined) return { vm, checkpoint };
  if (backup !== undefined) return { backup };
  return latest ? 'latest' : 'all';
}

function commonOptions(flags: Flags, plan: Pick<Plan, 'scratch'>, session: Session) {
  const { concurrency, partSize, maxRate } = flags;
  const { env, paths, signal } = session;
  const scratch = findScratch(flags.scratch, plan, session);
  return {
    data: flags.data ?? false,
    checksums: flags.checksums,
    env,
    paths,
    signal,
    ...omitUndefined({ concurrency, partSize, maxRate, scratch }),
  };
}

/** USAGE for flags that need a source, and for a source beside a plan. */
function flagProblems(argument: string | undefined, flags: Flags): Problem[] {
  const { source, backup, checkpoint, latest, vm } = flags;
  if (source === undefined) {
    const given = Object.entries({
      '--backup': backup,
      '--checkpoint': checkpoint,
      '--latest': latest,
      '--vm': vm,
    }).filter(([, value]) => value);
    return given.map(([flag]) =>
      usageProblem(`${flag} requires --source`, `add --source s3://BUCKET/PREFIX or --source DIR, or remove ${flag}`),
    );
  }
  return [
    ...(argument === undefined
      ? []
      : [usageProblem('--source cannot be combined with a plan', 'remove --source, or the plan')]),
    ...(checkpoint === undefined || (vm?.length === 1 && vm[0]?.vm !== undefined) ? [] : [checkpointProblem()]),
  ];
}
