// `verify <plan>`: is what the plan names all there and sound?
import { Command, Option } from 'commander';
import { pvcOption, readingOptions, reportOption, scratchOption } from '../flags/flags.ts';
import { given } from '../flags/given.ts';
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
    .addOption(pvcOption('verify just this PVC of the plan; may be repeated'))
    .addOption(new Option('--data', 'read every object through: checksums, and qemu-img check of each layer'))
    .addOption(scratchOption());
  for (const option of readingOptions()) command.addOption(option);
  command.addOption(new Option('--no-checksums', "do not check the plan's sha256 nor the store's checksums"));
  command.addOption(reportOption());
  addHelp(command, {
    summary: 'check that a backup is whole, without restoring it',
    about:
      'Makes every check of a restore on source and chains; no target is looked at. Without --data it reads a few KiB ' +
      'of each layer; with it every byte is read, one layer at a time, in scratch if there is one, else in memory.\n' +
      'Each disk is whole, suspect (something is odd that a restore survives, or not all could be read) or broken.',
    examples: [
      {
        says: 'is every layer there, and does each chain hold together?',
        command: 'kubevirt-datamover verify plan.yaml',
      },
      { says: 'a drill: read everything', command: 'kubevirt-datamover verify plan.yaml --data --scratch /var/tmp' },
    ],
    sections: [AWS_SECTION],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => verify(plan, flags, session)),
  );
}

async function verify(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  return await withReport(flags.report, session, async () => {
    const { plan } = await loadPlan(argument, session);
    const { verifyPlan } = await import('../../verify/verify.ts');
    const { pvc: pvcs, concurrency, partSize } = flags;
    const result = await withProgress(session, undefined, (progress) =>
      verifyPlan({
        plan,
        data: flags.data ?? false,
        checksums: flags.checksums,
        env: session.env,
        paths: session.paths,
        progress,
        signal: session.signal,
        ...given({ pvcs, concurrency, partSize, scratch: findScratch(flags.scratch, plan, session) }),
      }),
    );
    return { document: result, text: renderVerify(result), problems: result.problems };
  });
}
