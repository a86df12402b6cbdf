// `qemu-img create`: an empty qcow2 image in an existing file.
import { DatamoverError } from '../errors.ts';
import { runTool } from './run.ts';
import { isOutOfSpace, lastErrorLine } from './said.ts';

export interface CreateOptions {
  /** An existing file of ours, which keeps its inode and mode; absolute. */
  readonly path: string;
  /** Bytes of the disk, a multiple of 512. */
  readonly size: number;
  /** Whether clusters that are compressed later are compressed with zstd; zlib is the format's default. */
  readonly zstd: boolean;
  /** The target, for messages. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/** @throws DatamoverError TARGET_FULL, TOOL_FAILED: this qemu-img has no zstd, or failed otherwise. */
export async function createImage({ path, size, zstd, name, signal }: CreateOptions): Promise<void> {
  const features = ['compat=1.1', ...(zstd ? ['compression_type=zstd'] : [])].join(',');
  const args = ['create', '-q', '-f', 'qcow2', '-o', features, path, String(size)];
  const { exitCode, stderr } = await runTool('qemu-img', args, { signal, timeoutMs: TIME_LIMIT_MS });
  if (exitCode === 0) return;
  const full = isOutOfSpace(stderr);
  throw new DatamoverError(
    full ? 'TARGET_FULL' : 'TOOL_FAILED',
    `cannot create a qcow2 image for ${name}${lastErrorLine(stderr)}`,
    { hint: full ? 'free some space there, then run the same command again' : hintFor(stderr) },
  );
}

/** A build without zstd refuses the option's value. */
function hintFor(stderr: string): string {
  return /compression|zstd/i.test(stderr)
    ? 'remove --compress: this qemu-img does not support zstd (that of Debian does)'
    : 'run again with --log-level debug';
}

const TIME_LIMIT_MS = 5 * 60_000;
