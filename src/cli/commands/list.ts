// `list`: what the bucket holds.
import { Command, Option } from 'commander';
import type { VmName } from '../../plan/plan.ts';
import { parseText } from '../flags/flags.ts';
import { AWS_SECTION, addHelp } from '../flags/help.ts';
import { parseSource, SOURCE_SECTION, type SourceFlags, sourceOptions } from '../flags/source.ts';
import { vmOption } from '../flags/vm.ts';
import { withProgress } from '../progress/progress.ts';
import { renderList } from '../render/list.ts';
import { type FailureDocument, failureOf, type Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';

interface Flags extends SourceFlags {
  readonly vm?: VmName;
  readonly backup?: string;
}

export function listCommand(run: Run): Command {
  const command = new Command('list');
  for (const option of sourceOptions()) command.addOption(option);
  command.addOption(vmOption('just this VM'));
  command.addOption(new Option('--backup <name>', 'just this backup').argParser(parseText));
  addHelp(command, {
    summary: 'list backups, VMs, disks and checkpoints of a bucket',
    about:
      'Lists what a bucket, or a folder that is a copy of one, holds: backups and their VMs; of each disk its ' +
      'checkpoints, and whether the chain up to each of them is whole. What is broken is told, with what is lost by it; ' +
      'it does not stop the rest, but the exit status tells of it. The manifests of single VMs, one per backup and VM, are ' +
      "read with --vm or --backup only, or where the backup's own document does not tell.",
    examples: [
      {
        says: 'everything in a bucket',
        command: 'kubevirt-datamover list --source s3://backups/velero-kubevirt-datamover',
      },
      { says: 'one VM, in a copy of the bucket', command: 'kubevirt-datamover list --source ./bucket --vm demo/web' },
      {
        says: 'for a script: the names of all backups',
        command: "kubevirt-datamover list --source ./bucket --output json | jq -r '.backups[].name'",
      },
    ],
    sections: [SOURCE_SECTION, AWS_SECTION],
  });
  return command.action((flags: Flags) => run(command, (session) => list(flags, session)));
}

/** As `list`'s document: nothing was found. */
export const listFailureDocument: FailureDocument = (error) => ({
  version: 1,
  backups: [],
  vms: [],
  ...failureOf(error),
});

async function list({ vm, backup, ...flags }: Flags, session: Session): Promise<Outcome> {
  const source = parseSource(flags, session.cwd);
  const { pathsOfSource } = await import('../../paths/source-paths.ts');
  const { recordReads } = await import('../../paths/recorded-store.ts');
  session.paths.reads(...pathsOfSource(source, session.env));
  const { listBucket } = await import('../../inventory/list.ts');
  const { withSource } = await import('../../inventory/open-source.ts');
  const { env, signal } = session;
  const listing = await withProgress(session, undefined, (progress) =>
    withSource({ source, env, progress }, (store) =>
      listBucket(recordReads(store, source, session.paths), { vm, backup, progress, signal }),
    ),
  );
  return { document: listing, text: renderList(listing, { now: session.now() }), problems: listing.problems };
}
