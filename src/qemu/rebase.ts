// `qemu-img rebase -u`: writes a parent's name into a layer's header, and nothing else.
import { basename, dirname } from 'node:path';
import { DatamoverError } from '../errors.ts';
import { runTool } from './run.ts';
import { isOutOfSpace, lastErrorLine } from './said.ts';

export interface RebaseOptions {
  /** Absolute path of the layer, a file of ours. */
  readonly image: string;
  /** Absolute path of its parent, in the same folder. */
  readonly backing: string;
  readonly signal: AbortSignal;
}

/**
 * Makes `backing` the parent of `image`. Opens no backing file, neither the old nor the new one. The parent is recorded
 * by its bare file name, since a cluster of 512 bytes has no room for more.
 * @throws DatamoverError IMAGE_CORRUPT when qemu-img cannot open the layer, SCRATCH_FULL, TOOL_FAILED.
 */
export async function rebaseUnsafe({ image, backing, signal }: RebaseOptions): Promise<void> {
  const name = parentName({ image, backing });
  const { exitCode, stderr } = await runTool('qemu-img', [...REBASE, name, image], {
    signal,
    timeoutMs: REBASE_TIMEOUT_MS,
  });
  if (exitCode === 0) return;
  const message = `cannot rebase ${image} onto ${name}${lastErrorLine(stderr)}`;
  // What it says of a full file system, and of a header without space for the name.
  if (isOutOfSpace(stderr) || stderr.includes('No space left in the file header')) {
    throw new DatamoverError('SCRATCH_FULL', message, {
      hint: 'free space in scratch; if there is enough, the header of the layer has no space for a backing file name',
    });
  }
  if (stderr.includes('Could not open')) {
    throw new DatamoverError('IMAGE_CORRUPT', message, { hint: 'the layer is damaged: get another copy of it' });
  }
  throw new DatamoverError('TOOL_FAILED', message, {
    hint: 'check the scratch volume, then run the same command again',
  });
}

/** It rewrites one cluster; a dirty image is repaired on the way, which reads its tables. */
export const REBASE_TIMEOUT_MS = 10 * 60_000;

/** Arguments before the parent's name and the layer. */
export const REBASE = ['rebase', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b'] as const;

/** The parent as the layer's header names it. */
export function parentName({ image, backing }: Omit<RebaseOptions, 'signal'>): string {
  const name = basename(backing);
  if (dirname(backing) !== dirname(image) || !/^[\w.-]+$/.test(name)) {
    throw new TypeError(`a parent must be in the directory of its layer, under a plain name: ${backing}`);
  }
  return name;
}
