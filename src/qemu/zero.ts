// `qemu-io`'s `write -z -u`: makes a range of a device or file read as zeros, by unmapping where that does it.
import { DatamoverError } from '../errors.ts';
import { GiB } from '../units.ts';
import { deviceNode, fileNode, rawNode, toUnflushedFilename } from './graph.ts';
import { explain, runTool, saysFull } from './run.ts';

export interface ZeroRangeOptions {
  readonly path: string;
  /** Whether `path` is a block device. */
  readonly device: boolean;
  /** Whole sectors of 512 bytes; the range must lie inside. */
  readonly offset: number;
  readonly length: number;
  /** Bytes zeroed so far. */
  readonly onProgress?: (done: number) => void;
  readonly signal: AbortSignal;
}

/** Below the 2 GiB that one request may have, and small enough for a progress on a device that zeroes by writing. */
const STEP = GiB;

/** Flushing is the caller's. @throws DatamoverError TARGET_FULL, TARGET_WRITE_FAILED */
export async function zeroRange({ path, device, offset, length, onProgress, signal }: ZeroRangeOptions): Promise<void> {
  const node = toUnflushedFilename(rawNode(device ? deviceNode(path) : fileNode(path)));
  for (let done = 0; done < length; ) {
    const step = Math.min(STEP, length - done);
    const command = `write -q -z -u ${offset + done} ${step}`;
    const { exitCode, stdout, stderr } = await runTool('qemu-io', ['-f', 'raw', '-t', 'none', '-c', command, node], {
      signal,
    });
    if (exitCode !== 0) throw failure(`zeroing ${path} at offset ${offset + done} failed`, stderr || stdout);
    done += step;
    onProgress?.(done);
  }
}

function failure(what: string, said: string): DatamoverError {
  const message = `${what}${explain(said)}`;
  if (saysFull(said)) {
    return new DatamoverError('TARGET_FULL', message, {
      hint: 'a thin volume is out of space underneath: give it some, then run the same command again',
    });
  }
  return new DatamoverError('TARGET_WRITE_FAILED', message, {
    hint: "look at the kernel's log for errors of this device, then run the same command again",
  });
}
