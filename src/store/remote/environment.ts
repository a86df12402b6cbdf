// What the environment says to whoever asks: variables without the line break of an `echo`, booleans, the home directory. The
// AWS SDK reads none of them itself (docs/environment.md has the table).
import { userInfo } from 'node:os';
import { DatamoverError } from '../../errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The variable without line breaks at its end, which a Secret made with `echo` has; undefined when nothing is left. */
export function variable(env: Environment, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = env[name]?.replace(/[\r\n]+$/, '');
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** `true` or `false` in any case, undefined when unset. USAGE for anything else: the AWS tools do not agree on it. */
export function booleanVariable(env: Environment, name: string): boolean | undefined {
  const value = variable(env, name)?.toLowerCase();
  if (value === undefined) return undefined;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new DatamoverError('USAGE', `${name}: expected true or false, got ${JSON.stringify(env[name])}`, {
    hint: `set ${name} to true or false, or unset it`,
  });
}

/** HOME, else the passwd entry's; undefined for a user without both, as pods often are (Node throws for them). */
export function homeDirectory(env: Environment): string | undefined {
  const named = env.HOME;
  if (named !== undefined && named !== '') return named;
  try {
    return userInfo().homedir || undefined;
  } catch {
    return undefined;
  }
}

/** A path as the AWS tools take it from a variable or a file: `~/` is the home directory. */
export function expandHome(path: string, env: Environment): string {
  const home = homeDirectory(env);
  return home !== undefined && path.startsWith('~/') ? `${home}${path.slice(1)}` : path;
}
