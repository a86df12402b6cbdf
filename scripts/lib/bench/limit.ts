// What no restore can beat here: the same bytes over the same number of connections into nothing, and the visible bytes
// written to the same device.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../../../src/units.ts';
import { runTool } from '../run-tool.ts';
import type { DataSet } from './data.ts';
import { RUN_LIMIT_SECONDS } from './measure.ts';

export interface Limit {
  readonly read: number;
  readonly write: number;
}

export interface LimitOptions {
  readonly set: DataSet;
  readonly endpoint: string;
  readonly caFile: string;
  readonly target: string;
  readonly connections: number;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Seconds of each. */
export async function measureLimit(options: LimitOptions): Promise<Limit> {
  const { set, target, folder, connections, signal } = options;
  const config = join(folder, 'limit.curl');
  await writeFile(config, ranges(options));
  const curl = ['-sSf', '--parallel', '--parallel-immediate', '--parallel-max', String(connections), '-K', config];
  const bounded = ['--kill-after=10', String(RUN_LIMIT_SECONDS), 'curl', ...curl];
  const read = await secondsOf(() => runTool('timeout', bounded, { signal }));
  const dd = [
    'if=/dev/zero',
    `of=${target}`,
    'bs=4M',
    'oflag=direct',
    `count=${Math.floor(set.visible / (4 * MiB))}`,
    'conv=notrunc,fsync',
  ];
  return { read, write: await secondsOf(() => runTool('dd', dd, { signal })) };
}

function ranges({ set, endpoint, caFile }: LimitOptions): string {
  const requests: string[] = [];
  for (const { object, size } of set.disks.flatMap(({ layers }) => layers)) {
    for (let offset = 0; offset < size; offset += 16 * MiB) {
      const last = Math.min(size, offset + 16 * MiB) - 1;
      const url = `${endpoint}/${set.bucket}/${object}`;
      requests.push(`url = "${url}"\ncacert = "${caFile}"\nrange = "${offset}-${last}"\noutput = "/dev/null"\n`);
    }
  }
  return requests.join('next\n');
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
