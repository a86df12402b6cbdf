// A tool of qemu's whose system calls fail as strace makes them fail: what a quota, a thin volume or a bad disk says.
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
  const folder = tempFolder(t);
  const real = execFileSync('which', [tool], { encoding: 'utf8' }).trim();
  const script = `#!/bin/bash\nexec strace -f -qq -o /dev/null -e inject=${inject} ${real} "$@"\n`;
  writeFileSync(join(folder, tool), script);
  chmodSync(join(folder, tool), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${folder}:${before}`;
  try {
    return await work();
  } finally {
    process.env.PATH = before;
  }
}
