// `list`: shows the content of a bucket.
import { Command, Option } from 'commander';
import type { VmRef } from '../../vm-ref.ts';
import { parseText } from '../flags/flags.ts';
import { addHelp, CREDENTIALS_SECTION } from '../flags/help.ts';
import { parseSource, SOURCE_SECTION, type SourceFlags, sourceOptions } from '../flags/source.ts';
import { vmOption } from '../flags/vm.ts';
import { renderList } from '../render/list.ts';
import { type FailureDocument, failureOf, type Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';
import { withStore } from './with-store.ts';

interface Flags extends SourceFlags {
  readonly vm?: VmRef;
  readonly backup?: string;
}

export function listCommand(run: Run): Command {
  const command = new Command('list');
  for (const option of sourceOptions()) command.addOption(option);
  command.addOption(vmOption('only this VM'));
  command.addOption(new Option('--backup <name>', 'only this backup').argParser(parseText));
  addHelp(command, {
    summary: 'list the backups, VMs, disks and checkpoints in a bucket',
    about:
      'Lists the backups, VMs, disks and checkpoints in the source and shows which checkpoints can be restored. For each ' +
      'broken chain, names the backups affected. Problems do not stop the listing; the exit status reports them.\n' +
      'Files and directories of other programs are ignored. Per-VM manifests, one per backup and VM, are read only with ' +
      "--vm or --backup, or if the backup's index does not name the checkpoint.",
    examples: [
      {
        comment: 'all backups in a bucket',
        command: 'kubevirt-datamover list --source s3://backups/velero-kubevirt-datamover',
      },
      {
        comment: 'one VM, from a copy of the bucket',
        command: 'kubevirt-datamover list --source ./bucket --vm demo/web',
      },
      {
        comment: 'in a script: the names of all backups',
        command: "kubevirt-datamover list --source ./bucket --output json | jq -r '.backups[].name'",
      },
    ],
    sections: [SOURCE_SECTION, CREDENTIALS_SECTION],
  });
  return command.action((flags: Flags) => run(command, (session) => list(flags, session)));
}

/** The document of a listing that failed as a whole. */
export const listFailureDocument: FailureDocument = (error) => ({
  version: 1,
  result: error.code === 'CANCELLED' ? 'cancelled' : 'failed',
  backups: [],
  vms: [],
  ...failureOf(error),
});

async function list({ vm, backup, ...flags }: Flags, session: Session): Promise<Outcome> {
  const source = parseSource(flags, session.cwd);
  const { listBucket } = await import('../../inventory/list.ts');
  const { signal } = session;
  const listing = await withStore(session, { source }, (store, progress) =>
    listBucket(store, { vm, backup, progress, signal }),
  );
  return { document: listing, text: renderList(listing, { now: session.now() }), problems: listing.problems };
}
