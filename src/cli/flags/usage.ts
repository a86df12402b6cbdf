// Calls that the parser refuses, as errors of ours with a hint that can be typed.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command, CommanderError } from 'commander';
import { DatamoverError, type Problem } from '../../errors.ts';

/** Was the parser's "error" the help or the version that was asked for? */
export function isHelpOrVersion(error: CommanderError): boolean {
  return error.exitCode === 0;
}

/** What `error`, which `command` ran into, means to the caller: USAGE, with the nearest word where there is one. */
export function usageError(error: CommanderError, command: Command, { cwd }: { readonly cwd: string }): DatamoverError {
  const help = `see: ${fullName(command)} --help`;
  if (error.code === 'commander.help') {
    return new DatamoverError('USAGE', 'no command given', {
      hint: 'to restore: kubevirt-datamover restore plan.yaml',
    });
  }
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const forgotten = error.code === 'commander.unknownCommand' ? forgottenRestore(command, cwd) : undefined;
  const nearest = /^\((Did you mean .*\?)\)$/.exec(suggestion ?? '')?.[1]?.replace(/^D/, 'd');
  const hints = [forgotten ?? nearest, help].filter((hint) => hint !== undefined);
  return new DatamoverError('USAGE', message.replace(/\.$/, ''), { hint: hints.join('; ') });
}

/** `kubevirt-datamover plan.yaml`: the command was left out. */
function forgottenRestore(program: Command, cwd: string): string | undefined {
  const word = program.args[0];
  if (word === undefined || !(/\.(ya?ml|json)$/.test(word) || existsSync(resolve(cwd, word)))) return undefined;
  return `to restore it: kubevirt-datamover restore ${word}`;
}

/** `kubevirt-datamover restore` */
function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** Refuses a call whose flags do not go together. */
export function refuse(message: string, hint: string): never {
  throw DatamoverError.fromProblems([usageProblem(message, hint)]);
}

/** As `refuse`, to be reported with other problems. */
export function usageProblem(message: string, hint: string): Problem {
  return { code: 'USAGE', message, hint };
}
