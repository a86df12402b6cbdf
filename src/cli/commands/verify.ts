// `verify <plan>`: checks that a backup can be restored.
import { Command, Option } from 'commander';
import { omitUndefined } from '../../omit-undefined.ts';
import { withKnown } from '../../problems.ts';
import { pvcOption, readingOptions, reportOption, scratchOption } from '../flags/flags.ts';
import { AWS_SECTION, addHelp } from '../flags/help.ts';
import { loadPlan } from '../flags/load-plan.ts';
import { findScratch } from '../flags/scratch.ts';
import { withProgress } from '../progress/progress.ts';
import { renderVerify } from '../render/verify.ts';
import type { Outcome } from '../session/outcome.ts';
import { withReport } from '../session/report.ts';
import type { Run, Session } from '../session/session.ts';

interface Flags {
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
    .addOption(pvcOption('verify only this PVC of the plan; repeatable'))
    .addOption(new Option('--data', 'read all data: verify checksums, run qemu-img check on each layer'))
    .addOption(scratchOption());
  for (const option of readingOptions()) command.addOption(option);
  command.addOption(new Option('--no-checksums', 'do not verify the checksums of the plan and the store'));
  command.addOption(reportOption());
  addHelp(command, {
    summary: 'check that a backup can be restored, without restoring it',
    about:
      'Runs all checks of a restore except those of targets. Without --data it reads a few KiB of each layer. With ' +
      '--data it reads all data, one layer at a time: in scratch if a scratch directory is set, else in memory.\n' +
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
    ],
    sections: [AWS_SECTION],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => verify(plan, flags, session)),
  );
}

async function verify(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  return await withReport(flags.report, session, async (ofReport) => {
    const { plan, problems: ofPlan } = await withKnown(ofReport, () => loadPlan(argument, session));
    const problems = [...ofReport, ...ofPlan];
    const { verifyPlan } = await import('../../verify/verify.ts');
    const { pvc: pvcs, concurrency, partSize } = flags;
    const result = await withProgress(session, undefined, (progress) =>
      verifyPlan({
        plan,
        problems,
        data: flags.data ?? false,
        checksums: flags.checksums,
        env: session.env,
        paths: session.paths,
        progress,
        signal: session.signal,
        ...omitUndefined({ pvcs, concurrency, partSize, scratch: findScratch(flags.scratch, plan, session) }),
      }),
    );
    return { document: result, text: renderVerify(result), problems: result.problems };
  });
}
