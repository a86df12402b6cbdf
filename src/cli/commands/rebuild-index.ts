// `rebuild-index`: prints a VM's index as it can be rebuilt from what is left in the bucket.
import { Command } from 'commander';
import { addHelp, CREDENTIALS_SECTION } from '../flags/help.ts';
import { SOURCE_SECTION, sourceOptions } from '../flags/source.ts';
import { vmOption } from '../flags/vm.ts';
import { parseVmSource, type VmSourceFlags } from '../flags/vm-source.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';
import { withStore } from './with-store.ts';

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
    sections: [SOURCE_SECTION, CREDENTIALS_SECTION],
  });
  return command.action((flags: VmSourceFlags) => run(command, (session) => rebuildIndex(flags, session)));
}

async function rebuildIndex(flags: VmSourceFlags, session: Session): Promise<Outcome> {
  const { source, vm } = await parseVmSource(flags, session.cwd);
  const { loadWholeIndex } = await import('../../inventory/whole-index.ts');
  const { rebuiltDocument } = await import('../../inventory/rebuilt-document.ts');
  const { signal } = session;
  const document = await withStore(session, { source }, async (store, progress) => {
    const index = await loadWholeIndex(store, vm, { progress, signal });
    return await rebuiltDocument(store, index, { progress, signal });
  });
  return { document, text: `${JSON.stringify(document, null, 2)}\n`, problems: [] };
}
