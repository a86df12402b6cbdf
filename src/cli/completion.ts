// `completion SHELL`: a completion script, made of the command tree itself.
import { Argument, Command, type Option } from 'commander';
import { bashCompletion } from './completion-bash.ts';
import { fishCompletion } from './completion-fish.ts';
import { zshCompletion } from './completion-zsh.ts';
import { addHelp } from './help.ts';
import type { Outcome } from './outcome.ts';
import type { Run } from './session.ts';

/** What a shell has to know of a command. */
export interface CompletionCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletionOption[];
  /** Does it take a file as its argument? */
  readonly takesFile: boolean;
  /** The words that its argument may be. */
  readonly words: readonly string[];
}

export interface CompletionOption {
  readonly flag: string;
  readonly description: string;
  readonly takes: 'nothing' | 'words' | 'file' | 'folder' | 'text';
  readonly words: readonly string[];
}

const SHELLS: ReadonlyMap<string, (commands: readonly CompletionCommand[]) => string> = new Map([
  ['bash', bashCompletion],
  ['zsh', zshCompletion],
  ['fish', fishCompletion],
]);

export function completionCommand(run: Run): Command {
  const command = new Command('completion').addArgument(
    new Argument('<shell>', 'the shell').choices([...SHELLS.keys()]),
  );
  addHelp(command, {
    summary: 'print a completion script for bash, zsh or fish',
    about: 'Prints a script that teaches a shell to complete commands, flags and their values.',
    examples: [
      { says: 'bash, in this session', command: 'source <(kubevirt-datamover completion bash)' },
      {
        says: 'zsh, for good; the folder must be in $fpath',
        command: 'kubevirt-datamover completion zsh > ~/.zfunc/_kubevirt-datamover',
      },
      {
        says: 'fish, for good',
        command: 'kubevirt-datamover completion fish > ~/.config/fish/completions/kubevirt-datamover.fish',
      },
    ],
  });
  return command.action((shell: string) => run(command, async () => printCompletion(shell, command)));
}

function printCompletion(shell: string, command: Command): Outcome {
  const program = command.parent ?? command;
  const script = SHELLS.get(shell)?.(program.commands.map((each) => describe(each, program))) ?? '';
  return { document: { version: 1, shell, script }, text: script, problems: [] };
}

function describe(command: Command, program: Command): CompletionCommand {
  const argument = command.registeredArguments[0];
  return {
    name: command.name(),
    summary: command.summary(),
    options: [...command.options, ...program.options].map(describeOption).concat(HELP),
    takesFile: argument !== undefined && argument.argChoices === undefined,
    words: argument?.argChoices ?? [],
  };
}

function describeOption(option: Option): CompletionOption {
  const words = option.argChoices ?? [];
  const placeholder = /<(.+?)>/.exec(option.flags)?.[1];
  return {
    flag: option.long ?? option.flags,
    description: option.description,
    takes: takesOf(placeholder, words),
    words,
  };
}

/** What stands for the value in a flag's usage (`<file>`, `<dir>`) says how to complete it. */
function takesOf(placeholder: string | undefined, words: readonly string[]): CompletionOption['takes'] {
  if (placeholder === undefined) return 'nothing';
  if (words.length > 0) return 'words';
  if (placeholder === 'file' || placeholder === 'socket') return 'file';
  return placeholder === 'dir' ? 'folder' : 'text';
}

const HELP: readonly CompletionOption[] = [{ flag: '--help', description: 'print help', takes: 'nothing', words: [] }];
