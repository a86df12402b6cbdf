// One measured run of a contender: a shell script, since that is what users have today.
import { readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../../../src/errors.ts';
import { runTool } from '../run-tool.ts';
import type { Server } from './server.ts';

export interface Sample {
  readonly seconds: number;
  /** CPU seconds of everything that the contender started, the server's not. */
  readonly cpu: number;
  /** Peak resident bytes of its largest process. */
  readonly rss: number;
  /** The same of the program alone, without qemu-img: of contenders that are ours. */
  readonly own?: { readonly cpu: number; readonly rss: number } | undefined;
  /** Bytes that the server sent. */
  readonly fetched: number;
  /** The most that lay in scratch, bytes. */
  readonly scratch: number;
}

export interface MeasureOptions {
  readonly script: string;
  readonly env?: Readonly<Record<string, string>>;
  /** For the measurements' own files. */
  readonly folder: string;
  readonly scratch: string;
  readonly server: Server | undefined;
  readonly signal: AbortSignal;
}

const usageSchema = z.object({ cpu: z.number(), rss: z.number() });

/** The longest run that was measured took two minutes: one that takes this long waits for something that never comes. */
export const RUN_LIMIT_SECONDS = 15 * 60;

/** Rejects when the script ends other than 0, and when it takes longer than 15 minutes. */
export async function measure(options: MeasureOptions): Promise<Sample> {
  const { script, env = {}, folder, scratch, server, signal } = options;
  const times = join(folder, 'times');
  const usage = join(folder, 'usage');
  await rm(usage, { force: true });
  await server?.takeSent();
  const watch = await watchUse(scratch);
  const began = performance.now();
  const bounded = ['timeout', '--kill-after=10', String(RUN_LIMIT_SECONDS), 'bash', '-euo', 'pipefail', '-c', script];
  const args = ['-q', '-o', times, '-f', '%U %S %M', ...bounded];
  try {
    await runTool('/usr/bin/time', args, { signal, env: { ...env, KDM_BENCH_USAGE: usage } });
  } catch (error) {
    // The script is long, and its graph longer; what went wrong stands last.
    throw new Error(`…${messageOf(error).slice(-1000)}`, { cause: error });
  } finally {
    watch.stop();
  }
  const seconds = (performance.now() - began) / 1000;
  const [user = 0, system = 0, kilobytes = 0] = (await readFile(times, 'utf8')).trim().split(' ').map(Number);
  const own = await readFile(usage, 'utf8').catch(() => undefined);
  return {
    seconds,
    cpu: user + system,
    rss: kilobytes * 1024,
    own: own === undefined ? undefined : usageSchema.parse(JSON.parse(own)),
    fetched: (await server?.takeSent()) ?? 0,
    scratch: watch.peak(),
  };
}

/** Looks at the file system that scratch alone lies on. */
async function watchUse(scratch: string): Promise<{ readonly stop: () => void; readonly peak: () => number }> {
  const used = async (): Promise<number> => {
    const { blocks, bfree, bsize } = await statfs(scratch);
    return (blocks - bfree) * bsize;
  };
  const before = await used();
  let peak = 0;
  const timer = setInterval(() => {
    void used().then((now) => {
      peak = Math.max(peak, now - before);
    });
  }, 50);
  return { stop: () => clearInterval(timer), peak: () => peak };
}

/** The middle one; of an even count the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}
