// The completion script for zsh: a function for its completion system (zshcompsys(1), _arguments).
import { type CompletionCommand, type CompletionOption, optionsOfAll } from './tree.ts';

export function zshCompletion(commands: readonly CompletionCommand[]): string {
  const everywhere = optionsOfAll(commands);
  return `#compdef kubevirt-datamover
# zsh completion for kubevirt-datamover
_kubevirt_datamover() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${quoteForZsh(`${name}:${summary}`)}`).join('\n')}
  )
  local each command=''
  for each in \${words[2,CURRENT-1]}; do
    if [[ -n \${commands[(r)$each:*]} ]]; then command=$each; break; fi
  done
  case $command in
${commands.map(zshCommandCase).join('\n')}
    *) _arguments -S \\
      ${everywhere.map(optionSpec).join(' \\\n      ')} \\
      '1:command:{_describe command commands}' ;;
  esac
}
if [[ \${funcstack[1]} == _kubevirt_datamover ]]; then _kubevirt_datamover "$@"; else compdef _kubevirt_datamover kubevirt-datamover; fi
`;
}

function zshCommandCase({ name, options, takesFile, words }: CompletionCommand): string {
  const argument = takesFile
    ? [`'*:file:_files'`]
    : words.length > 0
      ? [quoteForZsh(`*:word:(${words.join(' ')})`)]
      : [];
  // The command's own name is the first word that _arguments sees.
  const specs = [...options.map(optionSpec), `'1: :(${name})'`, ...argument];
  return `    ${name}) _arguments -S ${specs.map((spec) => `\\\n      ${spec}`).join(' ')} ;;`;
}

function optionSpec({ flag, description, takes, words }: CompletionOption): string {
  const comment = `*${flag}${takes === 'nothing' ? '' : '='}[${description.replaceAll(/[[\]:\\]/g, ' ')}]`;
  const action = {
    nothing: '',
    words: `:value:(${words.join(' ')})`,
    file: ':file:_files',
    directory: ':directory:_files -/',
    text: ':value: ',
  };
  return quoteForZsh(comment + action[takes]);
}

/** A word in single quotes. */
function quoteForZsh(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
