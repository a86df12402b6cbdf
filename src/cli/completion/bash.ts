// The completion script for bash; it needs nothing but bash itself (no bash-completion package).
import { type CompletionCommand, type CompletionOption, optionsOfAll } from './tree.ts';

export function bashCompletion(commands: readonly CompletionCommand[]): string {
  const names = commands.map(({ name }) => name);
  const everywhere = optionsOfAll(commands);
  return `# bash completion for kubevirt-datamover
_kubevirt_datamover() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command='' each
  # bash splits at '=': --output=json is three words.
  if [[ $word == '=' ]]; then word=''; elif [[ $before == '=' ]]; then before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $each in ${names.join(' | ')}) command=$each; break ;; esac
  done
  COMPREPLY=()
  case $command:$before in
${commands.flatMap(({ name, options }) => options.flatMap((option) => valueCase(name, option))).join('\n')}
${everywhere.flatMap((option) => valueCase('', option)).join('\n')}
  esac
  case $command in
${commands.map(bashCommandCase).join('\n')}
    '') mapfile -t COMPREPLY < <(compgen -W '${[...names, ...everywhere.map(({ flag }) => flag)].join(' ')}' -- "$word") ;;
  esac
}
complete -o filenames -F _kubevirt_datamover kubevirt-datamover
`;
}

function valueCase(command: string, { flag, takes, words }: CompletionOption): string[] {
  const line = (compgen: string): string[] => [
    `    ${command}:${flag}) ${compgen === '' ? '' : `mapfile -t COMPREPLY < <(compgen ${compgen} -- "$word"); `}return ;;`,
  ];
  if (takes === 'nothing') return [];
  if (takes === 'words') return line(`-W '${words.join(' ')}'`);
  if (takes === 'text') return line('');
  return line(takes === 'directory' ? '-d' : '-f');
}

function bashCommandCase({ name, options, takesFile, words }: CompletionCommand): string {
  const flags = [...options.map(({ flag }) => flag), ...words].join(' ');
  const files = takesFile ? ` [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word");` : '';
  return `    ${name}) mapfile -t COMPREPLY < <(compgen -W '${flags}' -- "$word");${files} ;;`;
}
