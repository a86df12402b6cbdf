// The program, or a module of it, under limits that a shell or a control group really sets.
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandOptions, command, type Outcome } from './command.ts';
import { cleanEnvironment, programPath } from './run-cli.ts';
import type { Owner } from './tmp.ts';

export interface Limits {
  /** Arguments of the shell's ulimit, as in `-n 40`; each sets soft and hard limit. */
  readonly ulimit?: readonly string[];
  /** Folders that come first in PATH. */
  readonly path?: readonly string[];
  /** The file of a control group to enter (`cgroup.procs`). */
  readonly group?: string;
}

/** Runs the program with `args`. */
export async function runLimited(args: readonly string[], limits: Limits): Promise<Outcome> {
  return await underLimits([programPath(), ...args], limits);
}

/** Runs a module's text under Node. */
export async function evaluateLimited(text: string, limits: Limits): Promise<Outcome> {
  return await underLimits(['--input-type=module', '-e', text], limits);
}

async function underLimits(args: readonly string[], { ulimit = [], path = [], group }: Limits): Promise<Outcome> {
  const enter = group === undefined ? '' : `echo $BASHPID >'${group}'; `;
  const set = ulimit.map((limit) => `ulimit ${limit}; `).join('');
  // Under tap NODE_OPTIONS has tap's loader.
  const script = `${enter}${set}unset NODE_OPTIONS; exec "$@"`;
  const PATH = [...path, process.env.PATH ?? ''].join(':');
  const options: CommandOptions = { env: { ...cleanEnvironment(), PATH } };
  return await command('bash', ['-c', script, 'bash', process.execPath, ...args], options);
}

const PIDS = '/sys/fs/cgroup/pids';

/** A control group of its own with so many processes and threads; undefined where none can be made. */
export function makePidsGroup(t: Owner, max: number): string | undefined {
  const group = join(PIDS, `kdm-test-${crypto.randomUUID()}`);
  if (!existsSync(join(PIDS, 'cgroup.procs'))) return undefined;
  try {
    mkdirSync(group);
  } catch {
    return undefined;
  }
  t.teardown(() => rmdirSync(group));
  writeFileSync(join(group, 'pids.max'), `${max}`);
  return join(group, 'cgroup.procs');
}
