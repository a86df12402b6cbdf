// `completion SHELL`: a completion script, made of the command tree itself.
import { Argument, Command } from 'commander';
import { SHELLS } from '../completion/completion.ts';
import { completionTree } from '../completion/tree.ts';
import { addHelp } from '../flags/help.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run } from '../session/session.ts';

export function completionCommand(run: Run): Command {
  const command = new Command('completion').addArgument(
    new Argument('<shell>', 'the shell').choices([...SHELLS.keys()]),
  );
  addHelp(command, {
    summary: 'print a completion script for bash, zsh or fish',
    about: 'Prints a script that teaches a shell to complete commands, flags and their values.',
    examples: [
      { comment: 'bash, in this session', command: 'source <(kubevirt-datamover completion bash)' },
      {
        comment: 'zsh, permanently; the directory must be in $fpath',
        command: 'kubevirt-datamover completion zsh > ~/.zfunc/_kubevirt-datamover',
      },
      {
        comment: 'fish, permanently',
        command: 'kubevirt-datamover completion fish > ~/.config/fish/completions/kubevirt-datamover.fish',
      },
    ],
  });
  return command.action((shell: string) => run(command, async () => printCompletion(shell, command)));
}

function printCompletion(shell: string, command: Command): Outcome {
  const program = command.parent ?? command;
  const script = SHELLS.get(shell)?.(completionTree(program)) ?? '';
  return { document: { version: 1, shell, script }, text: script, problems: [] };
}
