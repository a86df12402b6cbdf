// The command tree as completion scripts need it.
import type { Command, Option } from 'commander';

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
  readonly takes: 'nothing' | 'words' | 'file' | 'directory' | 'text';
  readonly words: readonly string[];
}

/** What `program` and its commands offer. */
export function completionTree(program: Command): CompletionCommand[] {
  return program.commands.map((command) => describeCommand(command, program));
}

/** The options that every command takes, and the program itself before one. */
export function optionsOfAll(commands: readonly CompletionCommand[]): CompletionOption[] {
  const [first, ...others] = commands;
  const isInAll = ({ flag }: CompletionOption): boolean =>
    others.every(({ options }) => options.some((option) => option.flag === flag));
  return (first?.options ?? []).filter(isInAll);
}

function describeCommand(command: Command, program: Command): CompletionCommand {
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
  return placeholder === 'dir' || placeholder === 'place' ? 'directory' : 'text';
}

const HELP: readonly CompletionOption[] = [{ flag: '--help', description: 'print help', takes: 'nothing', words: [] }];
