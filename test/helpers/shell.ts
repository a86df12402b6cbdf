// The program as a shell starts it: redirected, closed, piped. In the script `"$@"` is the program with its arguments.
import { command, type Outcome } from './command.ts';
import { cleanEnvironment, programPath } from './run-cli.ts';

export interface ShellOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Runs `script` under bash, so that `$?` and `PIPESTATUS` can be printed; gives what came of the script. */
export async function inShell(
  script: string,
  args: readonly string[],
  { env = {}, cwd }: ShellOptions = {},
): Promise<Outcome> {
  // Under tap `spawn` puts tap's loader into NODE_OPTIONS of every child; env(1) takes it out.
  const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args];
  return await command('bash', ['-c', script, 'bash', ...program], {
    env: cleanEnvironment(env),
    ...(cwd === undefined ? {} : { cwd }),
  });
}
