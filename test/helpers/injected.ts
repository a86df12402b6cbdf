// A tool of qemu's that fails: its system calls as strace makes them fail (what a quota, a thin volume or a bad disk says), or
// a script in its place.
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

/** Runs `work` with a PATH on which `tool` runs under `strace -e inject=…` (strace(1)). Needs strace and bash. */
export async function withInjected<T>(
  t: Test,
  { tool, inject }: { readonly tool: string; readonly inject: string },
  work: () => Promise<T>,
): Promise<T> {
  const real = execFileSync('which', [tool], { encoding: 'utf8' }).trim();
  const [calls] = inject.split(':');
  const script = `exec strace -f --seccomp-bpf -qq -o /dev/null -e trace=${calls} -e inject=${inject} ${real} "$@"`;
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
