// Standard output and error as paths, where they are redirected to a file or a device: written as any other path is.
import { fstatSync } from 'node:fs';
import type { WrittenPath } from '../../paths/uses.ts';
import type { Context } from './context.ts';

/** Of those two that are a file or a block device; a terminal or a pipe holds nothing that could be overwritten. */
export function outputPaths({ stdout, stderr }: Pick<Context, 'stdout' | 'stderr'>): WrittenPath[] {
  return [['standard output', stdout] as const, ['standard error', stderr] as const].flatMap(([label, stream]) => {
    const fd = storedDescriptor(stream);
    return fd === undefined ? [] : [{ kind: 'output' as const, path: `/proc/self/fd/${fd}`, label }];
  });
}

/** The descriptor of a stream, if it leads to a file or a block device. */
function storedDescriptor(stream: object): number | undefined {
  if (!('fd' in stream) || typeof stream.fd !== 'number') return undefined;
  try {
    const found = fstatSync(stream.fd);
    return found.isFile() || found.isBlockDevice() ? stream.fd : undefined;
  } catch {
    // Closed: nothing is written to it.
    return undefined;
  }
}
