// The completion script for fish.
import type { CompletionCommand, CompletionOption } from './completion.ts';

export function fishCompletion(commands: readonly CompletionCommand[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  const lines = commands.flatMap((command) => [
    `complete -c kubevirt-datamover -n 'not __fish_seen_subcommand_from ${names}' -a ${command.name} -d ${quote(command.summary)}`,
    ...command.options.map((option) => optionLine(command.name, option)),
    ...argumentLines(command),
  ]);
  return ['# fish completion for kubevirt-datamover', 'complete -c kubevirt-datamover -f', ...lines, ''].join('\n');
}

function optionLine(command: string, { flag, description, takes, words }: CompletionOption): string {
  const value = {
    nothing: '',
    words: ` -x -a ${quote(words.join(' '))}`,
    file: ' -r -F',
    folder: " -x -a '(__fish_complete_directories)'",
    text: ' -x',
  };
  const seen = `-n '__fish_seen_subcommand_from ${command}'`;
  return `complete -c kubevirt-datamover ${seen} -l ${flag.replace(/^--/, '')}${value[takes]} -d ${quote(description)}`;
}

function argumentLines({ name, takesFile, words }: CompletionCommand): string[] {
  const seen = `complete -c kubevirt-datamover -n '__fish_seen_subcommand_from ${name}'`;
  if (takesFile) return [`${seen} -F`];
  return words.length === 0 ? [] : [`${seen} -a ${quote(words.join(' '))}`];
}

/** A word in single quotes, inside which fish knows \\\\ and \\'. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
