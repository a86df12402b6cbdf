// `rebuild-index`: prints a VM's index as it can be rebuilt from what is left in the bucket.
import { Command } from 'commander';
import { DatamoverError, type Problem } from '../../errors.ts';
import { collect } from '../../problems.ts';
import type { VmRef } from '../../vm-ref.ts';
import { AWS_SECTION, addHelp } from '../flags/help.ts';
import { parseSource, SOURCE_SECTION, type SourceFlags, sourceOptions } from '../flags/source.ts';
import { usageProblem } from '../flags/usage.ts';
import { vmOption } from '../flags/vm.ts';
import { withProgress } from '../progress/progress.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';

interface Flags extends SourceFlags {
  readonly vm?: VmRef;
}

export function rebuildIndexCommand(run: Run): Command {
  const command = new Command('rebuild-index');
  for (const option of sourceOptions()) command.addOption(option);
  command.addOption(vmOption('the VM'));
  addHelp(command, {
    summary: 'print the index of a VM, rebuilt from the rest of the bucket',
    about:
      'Rebuilds the per-VM index from the manifests, the archived backups and the layers, and prints it. Keeps the entries ' +
      'of an index that can be read in part.\n' +
      'Leaves out what no document proves, such as a parent that only times suggest, with a warning for each. Writes ' +
      'nothing to the bucket: check the output, then put it in the place of the lost index.',
    examples: [
      {
        comment: 'rebuild the index of a VM from a copy of the bucket',
        command: 'kubevirt-datamover rebuild-index --source ./bucket --vm demo/web > index.json',
      },
    ],
    sections: [SOURCE_SECTION, AWS_SECTION],
  });
  return command.action((flags: Flags) => run(command, (session) => rebuildIndex(flags, session)));
}

async function rebuildIndex({ vm, ...flags }: Flags, session: Session): Promise<Outcome> {
  const { cwd, env, signal } = session;
  const problems: Problem[] = [];
  const source = await collect(problems, () => parseSource(flags, cwd));
  if (vm === undefined) {
    problems.push(usageProblem('no VM given', 'add --vm NAMESPACE/NAME; `kubevirt-datamover list` shows the VMs'));
  }
  if (source === undefined || vm === undefined) throw DatamoverError.fromProblems(problems);
  const { pathsOfSource } = await import('../../paths/source-paths.ts');
  const { recordReads } = await import('../../paths/recorded-store.ts');
  session.paths.reads(...pathsOfSource(source, env));
  const { loadWholeIndex } = await import('../../inventory/whole-index.ts');
  const { rebuiltDocument } = await import('../../inventory/rebuilt-document.ts');
  const { withSource } = await import('../../inventory/open-source.ts');
  const document = await withProgress(session, undefined, (progress) =>
    withSource({ source, env, progress }, async (opened) => {
      const store = recordReads(opened, source, session.paths);
      const index = await loadWholeIndex(store, vm, { progress, signal });
      return await rebuiltDocument(store, index, { progress, signal });
    }),
  );
  return { document, text: `${JSON.stringify(document, null, 2)}\n`, problems: [] };
}
