// A real block device of a test's own: a loop device over a temporary file, detached with the test.
import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

export interface LoopDevice {
  /** `/dev/loopN`. */
  readonly path: string;
  /** The file behind it. */
  readonly file: string;
}

/** Needs root and losetup. `fill`: the byte that it is full of, so that it is not blank. */
export function loopDevice(t: Test, { size, fill }: { readonly size: number; readonly fill?: number }): LoopDevice {
  const file = join(tempFolder(t), 'device');
  writeFileSync(file, fill === undefined ? '' : Buffer.alloc(size, fill));
  truncateSync(file, size);
  const path = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  t.teardown(() => execFileSync('losetup', ['--detach', path]));
  return { path, file };
}
