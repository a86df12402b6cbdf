// What Node and libraries make of the environment without being asked, taken away before anything else runs.
import { homedir } from 'node:os';

/**
 * Changes `env`, the process's own. NODE_TLS_REJECT_UNAUTHORIZED goes: whether certificates are checked is the plan's to say, and
 * Node would print a warning, among JSON lines, that they are not. A user without a passwd entry, as many a pod has, gets `/` as
 * HOME: Node throws for one when a library asks for it.
 */
export function fenceEnvironment(env: NodeJS.ProcessEnv): void {
  delete env.NODE_TLS_REJECT_UNAUTHORIZED;
  if (env.HOME !== undefined && env.HOME !== '') return;
  try {
    homedir();
  } catch {
    env.HOME = '/';
  }
}
