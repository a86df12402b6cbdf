// Descriptors 1 and 2 as they really are: files, pipes, sockets and terminals, each written so that none can block the program.
//
// A terminal that was stopped (Ctrl-S), and a pipe that no other process reads, take no more bytes after a few KiB. Node
// writes to a terminal synchronously, which stops the event loop, and a write that waits on a thread of the pool stops
// process.exit. So both are opened again through /proc, which gives a description of their own that can be non-blocking
// without changing the one that other processes share. (Measured with Node 24 on Linux 6.)
import { constants, fdatasync, fstatSync, openSync, write, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import { systemCode } from '../../errors.ts';

export interface Descriptor {
  /** Writes some of `bytes` and resolves to how many; 0 means that none can be taken now. Rejects with the system's error. */
  write(bytes: Buffer): Promise<number>;
  /** As `write`, at once; undefined where that could block. */
  readonly writeNow: ((bytes: Buffer) => number) | undefined;
  /** Resolves when what was written to a file is stored there; rejects when it cannot be, which NFS and thin volumes report late. */
  flush(): Promise<void>;
}

/** `nodeStream` gives Node's own stream of the descriptor, which is taken where no other way is left. */
export function openDescriptor(fd: 1 | 2, nodeStream: () => Writable): Descriptor {
  const kind = fstatSync(fd);
  const own = isatty(fd) || kind.isFIFO() ? reopen(fd) : undefined;
  if (own !== undefined) {
    const writeNow = (bytes: Buffer): number => writeWithoutWaiting(own, bytes);
    return { write: async (bytes) => writeNow(bytes), writeNow, flush: async () => {} };
  }
  // Node writes to pipes and sockets without blocking; these may belong to another user, or cannot be opened at all.
  if (kind.isFIFO() || kind.isSocket()) return throughNode(nodeStream());
  return {
    write: async (bytes) => (await writeAsync(fd, bytes)).bytesWritten,
    writeNow: undefined,
    flush: async () => {
      if (kind.isFile()) await flushFile(fd).catch(throwUnlessUnsupported);
    },
  };
}

const writeAsync = promisify(write);
const flushFile = promisify(fdatasync);

/** Undefined where /proc is missing, or the terminal or pipe belongs to another user. */
function reopen(fd: number): number | undefined {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // The caller has other ways.
    return undefined;
  }
}

function throwUnlessUnsupported(error: unknown): void {
  if (!['EINVAL', 'ENOSYS', 'ENOTSUP'].includes(systemCode(error) ?? '')) throw error;
}

function writeWithoutWaiting(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if (systemCode(error) === 'EAGAIN') return 0;
    throw error;
  }
}

function throughNode(stream: Writable): Descriptor {
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => {
          if (error) reject(error);
          else resolve(bytes.length);
        });
      }),
    writeNow: undefined,
    flush: async () => {},
  };
}
