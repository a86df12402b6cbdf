// `qemu-io`'s `write -z -u`: makes a range of a device or file read as zeros, by unmapping where that does it.
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError } from '../errors.ts';
import { GiB, MiB } from '../units.ts';
import { deviceNode, fileNode, rawNode, toUnflushedFilename } from './graph.ts';
import { isOutOfSpace, lastErrorLine, runTool } from './run.ts';

export interface ZeroRangeOptions {
  readonly path: string;
  /** Whether `path` is a block device. */
  readonly device: boolean;
  /** Whole sectors of 512 bytes; the range must lie inside. */
  readonly offset: number;
  readonly length: number;
  /** How it is opened. */
  readonly cache: CacheMode;
  /** Whether zeroing costs no writing of zeros. */
  readonly fast: boolean;
  /** Bytes zeroed so far. */
  readonly onProgress?: (done: number) => void;
  readonly signal: AbortSignal;
}

/** Below the 2 GiB that one request may have. */
const FAST_STEP = GiB;
/**
 * On a device that zeroes by writing: a child that is ended waits for the step under way, which at 20 MB/s takes 3 s of the
 * 10 s that a cancelled run has.
 */
const SLOW_STEP = 64 * MiB;

/** Flushing is the caller's. @throws DatamoverError TARGET_FULL, TARGET_WRITE_FAILED */
export async function zeroRange(options: ZeroRangeOptions): Promise<void> {
  const { path, device, offset, length, cache, fast, onProgress, signal } = options;
  const largest = fast ? FAST_STEP : SLOW_STEP;
  const node = toUnflushedFilename(rawNode(device ? deviceNode(path) : fileNode(path)));
  for (let done = 0; done < length; ) {
    const step = Math.min(largest, length - done);
    const command = `write -q -z -u ${offset + done} ${step}`;
    const { exitCode, stdout, stderr } = await runTool('qemu-io', ['-f', 'raw', '-t', cache, '-c', command, node], {
      signal,
    });
    if (exitCode !== 0) throw zeroError(`zeroing ${path} at offset ${offset + done} failed`, stderr || stdout);
    done += step;
    onProgress?.(done);
  }
}

function zeroError(what: string, said: string): DatamoverError {
  const message = `${what}${lastErrorLine(said)}`;
  if (isOutOfSpace(said)) {
    return new DatamoverError('TARGET_FULL', message, {
      hint: 'add space to the pool of the thin volume, then run the same command again',
    });
  }
  return new DatamoverError('TARGET_WRITE_FAILED', message, {
    hint: 'check the kernel log (`dmesg`) for errors of the device, then run the same command again',
  });
}
