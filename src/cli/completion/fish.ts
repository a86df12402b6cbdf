// The completion script for fish.
import { type CompletionCommand, type CompletionOption, optionsOfAll } from './tree.ts';

export function fishCompletion(commands: readonly CompletionCommand[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  const before = `-n 'not __fish_seen_subcommand_from ${names}'`;
  const lines = [
    '# fish completion for kubevirt-datamover',
    `${COMPLETE} -f`,
    ...optionsOfAll(commands).map((option) => optionLine(before, option)),
    ...commands.flatMap((command) => commandLines(before, command)),
  ];
  return `${lines.join('\n')}\n`;
}

function commandLines(before: string, { name, summary, options, takesFile, words }: CompletionCommand): string[] {
  const after = `-n '__fish_seen_subcommand_from ${name}'`;
  return [
    `${COMPLETE} ${before} -a ${name} -d ${quoteForFish(summary)}`,
    ...options.map((option) => optionLine(after, option)),
    ...(takesFile ? [`${COMPLETE} ${after} -F`] : []),
    ...(words.length > 0 ? [`${COMPLETE} ${after} -a ${quoteForFish(words.join(' '))}`] : []),
  ];
}

function optionLine(condition: string, { flag, description, takes, words }: CompletionOption): string {
  const value = {
    nothing: '',
    words: ` -x -a ${quoteForFish(words.join(' '))}`,
    file: ' -r -F',
    directory: " -x -a '(__fish_complete_directories)'",
    text: ' -x',
  };
  return `${COMPLETE} ${condition} -l ${flag.replace(/^--/, '')}${value[takes]} -d ${quoteForFish(description)}`;
}

const COMPLETE = 'complete -c kubevirt-datamover';

/** A word in single quotes, inside which fish knows \\\\ and \\'. */
function quoteForFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
