// The command tree, and one run of it: words in, exit status out. Nothing heavy is imported before a command acts.
import { Command, CommanderError } from 'commander';
import { type DatamoverError, toDatamoverError } from '../errors.ts';
import { requireMemoryToStart } from '../memory-limits.ts';
import { completionCommand } from './commands/completion.ts';
import { downloadCommand } from './commands/download.ts';
import { listCommand, listFailureDocument } from './commands/list.ts';
import { manifestCommand } from './commands/manifest.ts';
import { planCommand } from './commands/plan.ts';
import { rebuildIndexCommand } from './commands/rebuild-index.ts';
import { restoreCommand } from './commands/restore.ts';
import { serveCommand } from './commands/serve.ts';
import { verifyCommand } from './commands/verify.ts';
import { addHelp } from './flags/help.ts';
import { isHelpOrVersion, usageError } from './flags/usage.ts';
import type { Context } from './session/context.ts';
import { type GlobalFlags, globalOptions } from './session/global-flags.ts';
import type { FailureDocument, Outcome } from './session/outcome.ts';
import { type Run, runSession } from './session/session.ts';
import { programVersion } from './version.ts';

/** Commands whose failure document is not the common one. */
const FAILURE_DOCUMENTS: ReadonlyMap<string, FailureDocument> = new Map([['list', listFailureDocument]]);

/** Runs the program. Never rejects: every failure is told on `stderr` (and `stdout`, as JSON) and is an exit status. */
export async function runProgram(context: Context): Promise<number> {
  let status = 0;
  let current: Command | undefined;
  let answer = '';
  const writeOut = (text: string): void => {
    answer += text;
  };
  const program = buildProgram({ ...context, writeOut }, async (command, work) => {
    const checked: typeof work = async (session) => {
      requireMemoryToStart(context.env);
      return await work(session);
    };
    status = await runSession(context, command.optsWithGlobals<GlobalFlags>(), checked, {
      ...documentOf(command),
      version: programVersion(),
    });
  });
  for (const command of [program, ...program.commands]) {
    command.exitOverride((error) => {
      current = command;
      throw error;
    });
  }
  try {
    await program.parseAsync([...context.argv], { from: 'user' });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) return await failProgram(context, toDatamoverError(error, context.signal));
    if (isHelpOrVersion(error)) return await printAnswer(context, answer);
    const command = current ?? program;
    return await failProgram(context, usageError(error, command, context), command);
  }
}

/** Prints the help or version that was asked for, which is text whatever the flags say. */
async function printAnswer(context: Context, text: string): Promise<number> {
  const outcome = { document: {}, text, problems: [] };
  return await runSession(context, { ...guessGlobalFlags(context.argv), output: 'text' }, async () => outcome);
}

/** Ends a run that has no session: a call that could not be parsed, or a bug that nothing caught. */
export async function failProgram(context: Context, error: DatamoverError, command?: Command): Promise<number> {
  const work = (): Promise<Outcome> => Promise.reject(error);
  return await runSession(
    context,
    guessGlobalFlags(context.argv),
    work,
    command === undefined ? {} : documentOf(command),
  );
}

export interface ProgramStreams extends Pick<Context, 'stdout' | 'stderr'> {
  /** Takes help and version; without it they go to `stdout`. */
  readonly writeOut?: (text: string) => void;
}

/** The tree; `run` is what each command's action calls. */
export function buildProgram({ stdout, stderr, writeOut }: ProgramStreams, run: Run): Command {
  const program = new Command('kubevirt-datamover')
    .version(`kubevirt-datamover ${programVersion()}`, '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: writeOut ?? ((text) => stdout.write(text)),
      writeErr: (text) => stderr.write(text),
      outputError: () => {},
      getOutHelpWidth: () => stdout.columns ?? 100,
      getErrHelpWidth: () => stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const option of globalOptions()) program.addOption(option);
  addHelp(program, {
    summary: 'restore KubeVirt disks from incremental backups',
    about:
      'Restores the disks of KubeVirt virtual machines from incremental qcow2 backups in object storage, or in a ' +
      'directory that is a copy of it.\nChecks everything before it writes to any target.',
    examples: [
      {
        comment: 'show the backups in a bucket',
        command: 'kubevirt-datamover list --source s3://backups/velero-kubevirt-datamover',
      },
      {
        comment: 'create a plan for the newest backup of a VM; the source may also be a directory',
        command:
          'kubevirt-datamover plan --source s3://backups/velero-kubevirt-datamover --vm demo/web \\\n' +
          '    --pvc rootdisk=/dev/vg/rootdisk > plan.yaml',
      },
      {
        comment: 'check everything, write nothing',
        command: 'kubevirt-datamover restore plan.yaml --scratch /var/tmp/scratch --dry-run',
      },
      {
        comment: 'restore; creates the scratch directory if it is missing',
        command: 'kubevirt-datamover restore plan.yaml --scratch /var/tmp/scratch',
      },
    ],
  });
  for (const command of [
    restoreCommand(run),
    downloadCommand(run),
    planCommand(run),
    listCommand(run),
    verifyCommand(run),
    serveCommand(run),
    manifestCommand(run),
    rebuildIndexCommand(run),
    completionCommand(run),
  ]) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  return program;
}

function documentOf(command: Command): { toDocument?: FailureDocument } {
  const toDocument = FAILURE_DOCUMENTS.get(command.name());
  return toDocument === undefined ? {} : { toDocument };
}

/** The global flags of a call that could not be parsed: a script that asked for JSON gets JSON for this too. */
function guessGlobalFlags(argv: readonly string[]): GlobalFlags {
  const wordAfter = (flag: string): string | undefined => {
    const index = argv.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
    const word = argv[index];
    return word === flag ? argv[index + 1] : word?.slice(flag.length + 1);
  };
  const format = wordAfter('--log-format');
  return {
    output: wordAfter('--output') === 'json' ? 'json' : 'text',
    logLevel: wordAfter('--log-level') === 'debug' ? 'debug' : 'info',
    logFormat: format === 'json' || format === 'text' ? format : 'auto',
    progress: !argv.includes('--no-progress'),
  };
}
