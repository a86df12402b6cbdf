// A real block device of a test's own: a loop device over a temporary file, detached with the test.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { makeFile } from './filled.ts';
import { type Owner, tempFolder } from './tmp.ts';

export interface LoopDevice {
  /** `/dev/loopN`. */
  readonly path: string;
  /** The file behind it. */
  readonly file: string;
}

export interface LoopShape {
  /** Bytes. */
  readonly size: number;
  /** The byte that it is full of, so that it is not blank. */
  readonly fill?: number;
  /** 512 by default. */
  readonly sectorSize?: number;
  /** Whether the kernel looks for partitions on it. */
  readonly partitions?: boolean;
  readonly readOnly?: boolean;
}

/** Needs root and losetup. */
export function loopDevice(
  t: Owner,
  { size, fill, sectorSize = 512, partitions = false, readOnly = false }: LoopShape,
): LoopDevice {
  const file = join(tempFolder(t), 'device');
  makeFile(file, size, fill);
  const flags = [
    '--sector-size',
    String(sectorSize),
    ...(partitions ? ['--partscan'] : []),
    ...(readOnly ? ['--read-only'] : []),
  ];
  const path = attachLoop(file, flags);
  t.teardown(() => detachLoop(path));
  if (!readOnly) setWritable(path);
  return { path, file };
}

/** `blockdev --setro` stays with a loop device's number when it is detached: an earlier test's must not be ours. */
export function setWritable(path: string): void {
  const isReadOnly = readFileSync(`/sys/class/block/${basename(path)}/ro`, 'utf8').trim() !== '0';
  if (isReadOnly) execFileSync('blockdev', ['--setrw', path]);
}

/** The loop device that losetup found for the file. Another process may take the same one first: then once more. */
export function attachLoop(file: string, flags: readonly string[] = []): string {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return losetup([...flags, '--find', '--show', file]).trim();
    } catch (error) {
      if (attempt === LOSETUP_ATTEMPTS) throw error;
    }
  }
}

const LOSETUP_ATTEMPTS = 10;

export function detachLoop(path: string): void {
  losetup(['--detach', path]);
}

/**
 * One at a time for all test files: who wants the same free device, or has just detached it, has it open for a moment longer, and a
 * device that somebody has open is busy for the program (one in ten of devices that six processes attach and detach).
 */
function losetup(args: readonly string[]): string {
  const shared = process.env.KUBEVIRT_DM_TEST_SHARED;
  const locked = shared === undefined ? [] : ['flock', join(shared, 'losetup')];
  const [program = '', ...rest] = [...locked, 'losetup', ...args];
  return execFileSync(program, rest, { encoding: 'utf8' });
}
