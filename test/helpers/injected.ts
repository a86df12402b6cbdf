// A tool of qemu's that fails: its system calls as strace makes them fail (what a quota, a thin volume or a bad disk says), or
// a script in its place.
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

export interface Injection {
  /** System calls, separated by commas: only these are stopped at. */
  readonly calls: string;
  /** What becomes of them, as strace(1) has it: `error=EIO:when=2+`. */
  readonly fault: string;
  /** Only calls on this path. */
  readonly path?: string;
}

/** Arguments of strace for `command`, in which system calls fail. strace counts calls by thread. */
export function injecting({ calls, fault, path }: Injection, command: readonly string[]): string[] {
  const only = path === undefined ? [] : ['-P', path];
  const inject = [...only, '-e', `trace=${calls}`, '-e', `inject=${calls}:${fault}`];
  return ['-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', ...inject, ...command];
}

/** Node on a script that is a module. */
export function nodeOn(script: string): string[] {
  return [process.execPath, '--input-type=module', '-e', script];
}

/** Runs `work` with a PATH on which `tool` runs under `strace -e inject=…` (strace(1)). Needs strace and bash. */
export async function withInjected<T>(
  t: Test,
  { tool, inject }: { readonly tool: string; readonly inject: string },
  work: () => Promise<T>,
): Promise<T> {
  const real = execFileSync('which', [tool], { encoding: 'utf8' }).trim();
  const [calls = '', ...fault] = inject.split(':');
  const script = `exec strace ${injecting({ calls, fault: fault.join(':') }, [real]).join(' ')} "$@"`;
  return await withScript(t, { tool, script }, work);
}

/** Runs `work` with a PATH on which `tool` is a script for bash. */
export async function withScript<T>(
  t: Test,
  { tool, script }: { readonly tool: string; readonly script: string },
  work: () => Promise<T>,
): Promise<T> {
  const folder = tempFolder(t);
  writeFileSync(join(folder, tool), `#!/bin/bash\n${script}\n`);
  chmodSync(join(folder, tool), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${folder}:${before}`;
  try {
    return await work();
  } finally {
    process.env.PATH = before;
  }
}
