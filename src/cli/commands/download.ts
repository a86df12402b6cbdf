// `download`: one disk, configured by the environment as the operator's download pod is.
import { Command } from 'commander';
import { withKnown } from '../../problems.ts';
import { type RestoreFlags, restoreOptions } from '../flags/flags.ts';
import { addHelp, CREDENTIALS_SECTION, STRATEGIES_SECTION } from '../flags/help.ts';
import type { Outcome } from '../session/outcome.ts';
import { withReport } from '../session/report.ts';
import type { Run, Session } from '../session/session.ts';
import { flagProblems, runRestore } from './run-restore.ts';

export function downloadCommand(run: Run): Command {
  const command = new Command('download');
  for (const option of restoreOptions()) command.addOption(option);
  addHelp(command, {
    summary: 'restore one disk, configured by environment variables',
    about:
      "Restores one disk, configured by the same environment variables as the OADP operator's download pod. " +
      'Overwrites a target that is not blank, like restore --force, since the target volume belongs to the pod, and ' +
      'creates missing parent directories of a file target.',
    examples: [
      { comment: "in the operator's pod, with its environment", command: 'kubevirt-datamover download' },
      {
        comment: 'check the environment, the chain and the target; write nothing',
        command: 'kubevirt-datamover download --dry-run',
      },
    ],
    sections: [ENVIRONMENT, STRATEGIES_SECTION, CREDENTIALS_SECTION],
  });
  return command.action((flags: RestoreFlags) => run(command, (session) => download(flags, session)));
}

async function download(flags: RestoreFlags, session: Session): Promise<Outcome> {
  return await withReport(flags.report, session, async (ofReport) => {
    const problems = [...flagProblems(flags), ...ofReport];
    const { planFromEnvironment } = await import('../../plan/environment.ts');
    const request = await withKnown(problems, () => planFromEnvironment(session.env));
    const { plan, requireBlockDevice, dataDownload } = request;
    const { pathsOfSource } = await import('../../paths/source-paths.ts');
    session.paths.reads(...pathsOfSource(plan.source, session.env));
    const own = { force: true, makeParents: true, requireBlockDevice };
    return await runRestore({ plan, problems }, flags, own, session, { note: describeDataDownload(dataDownload) });
  });
}

/** Who asked for it, so that the log of a pod can be found by it. */
function describeDataDownload({ name, uid }: { readonly name?: string; readonly uid?: string }): string | undefined {
  if (name === undefined && uid === undefined) return undefined;
  return ['DataDownload', name, uid === undefined ? undefined : `(uid ${uid})`]
    .filter((word) => word !== undefined)
    .join(' ');
}

const ENVIRONMENT = {
  title: 'Environment (prefix KUBEVIRT_DM_; an empty variable counts as unset)',
  lines: [
    'BSL_PROVIDER                        aws or an S3-compatible provider, azure, gcp',
    'BSL_BUCKET, BSL_PREFIX, BSL_REGION  location of the backup; the prefix is used unchanged',
    'BSL_S3_URL, BSL_S3_FORCE_PATH_STYLE, BSL_INSECURE_SKIP_TLS_VERIFY, BSL_PROFILE',
    'BSL_CA_CERT                         PEM text',
    'BSL_CUSTOMER_KEY_ENCRYPTION_FILE    32 bytes (SSE-C)',
    'BSL_STORAGE_ACCOUNT, BSL_STORAGE_ACCOUNT_URI, BSL_STORAGE_ACCOUNT_KEY_ENV_VAR, BSL_USE_AAD,',
    'BSL_SUBSCRIPTION_ID, BSL_RESOURCE_GROUP, BSL_ACTIVE_DIRECTORY_AUTHORITY_URI  Azure',
    'CREDENTIALS_FILE                    default /credentials/cloud',
    'VM_NAME, VM_NAMESPACE, VELERO_BACKUP_NAME',
    'TARGET_VOLUME                       the disk',
    'TARGET_PATH                         default /restore-data/disk.raw',
    'TARGET_IS_BLOCK_DEVICE              true: accept only a block device',
    'SCRATCH_PATH                        default /scratch',
    'DATADOWNLOAD_NAME, DATADOWNLOAD_UID logged',
  ],
};
